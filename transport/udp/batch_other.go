//go:build !linux

package udp

// platform is empty where package net is all there is.
type platform struct{}

// receiveSlots is empty where package net is all there is.
type receiveSlots struct{}

func (*receiveSlots) init([][]byte) {}

func (c *Conn) startPlatform(Options) error { return nil }

func (c *Conn) inboxShape() (count, size int) { return 1, maxDatagram }

func (c *Conn) readBatch(in *Inbox) ([]Packet, error) { return c.readOne(in) }

func (c *Conn) receiveBatches(func() *Inbox, func(*Inbox, []Packet)) error {
	panic("BUG: udp: there are no batches here")
}

func (c *Conn) writeBatch(batches []Batch) error { return c.writeEach(batches) }

func (c *Conn) platformStats(*Stats) {}
