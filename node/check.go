package node

import (
	"fmt"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// Check returns the first invariant of the core that does not hold, nil if all
// do. It reads everything, and is meant for simulations and tests.
func (c *Core) Check(now clock.Time) error {
	if err := c.ep.Check(now); err != nil {
		return err
	}
	if len(c.events) > maxEvents {
		return fmt.Errorf("limit: %d events wait, at most %d may", len(c.events), maxEvents)
	}
	for i := range c.links.rows {
		r := &c.links.rows[i]
		if !r.used {
			continue
		}
		id := group.LinkID(r.gen<<slotBits | uint32(i))
		if len(r.value.users) == 0 && !r.value.boot && r.value.closeAt == clock.Never {
			return fmt.Errorf("session without an owner: link %x to %v is used by nobody and will not be closed", id, r.value.session.Peer())
		}
		if s := r.value.session; s.State() == transport.StateOpen && handle(s.User) != uint32(id) {
			return fmt.Errorf("session without an owner: link %x to %v is unknown to its session", id, s.Peer())
		}
	}
	for i := range c.flows.rows {
		if r := &c.flows.rows[i]; r.used && c.links.get(uint32(r.value.link)) == nil {
			return fmt.Errorf("flow without a session: sending flow %d of link %x", i, r.value.link)
		}
	}
	for i := range c.recvs.rows {
		if r := &c.recvs.rows[i]; r.used && c.links.get(uint32(r.value.link)) == nil {
			return fmt.Errorf("flow without a session: receiving flow %d of link %x", i, r.value.link)
		}
	}
	for _, g := range c.groups {
		if err := g.group.Check(); err != nil {
			return err
		}
		if err := g.streams.Check(); err != nil {
			return err
		}
	}
	return nil
}
