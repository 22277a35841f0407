package scenario

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rtmfp/simulations/geography"
)

// AdversaryKinds are the adversaries that there are; package run makes them.
var AdversaryKinds = []string{"freerider", "garbage", "replay", "corrupter"}

// shockKeys says which keys a shock of a kind needs, and which it may have.
var shockKeys = map[string]struct {
	target bool // share or region
	needs  []string
	may    []string
}{
	"die":             {target: true},
	"die-region":      {target: true},
	"die-first-level": {},
	"die-introducers": {},
	"crowd":           {may: []string{"factor", "over"}},
	"partition":       {target: true, needs: []string{"for"}},
	"one-way":         {target: true, needs: []string{"for"}},
	"loss":            {needs: []string{"loss", "for"}, may: []string{"share", "region"}},
	"cut":             {needs: []string{"for"}},
	"stall":           {target: true, needs: []string{"for"}},
	"slow":            {target: true, needs: []string{"for"}, may: []string{"packet_cost"}},
	"move":            {target: true},
	"latencies":       {},
	"pollute":         {target: true},
}

var wordOnly = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// check finds what is possible for each key alone, but not together.
func (d *decoder) check(s *Scenario) {
	d.checkNetwork(s)
	d.checkClasses(s)
	for i := range s.Shocks {
		d.checkShock(s, i)
	}
	if s.Files != nil {
		if s.Files.HolderClass != "" {
			d.isClass(s, "files.holder_class", s.Files.HolderClass)
		}
		if least := s.Introducers + s.Files.Holders + 2; s.Nodes < least && !d.bad("nodes") && !d.bad("files.holders") {
			d.complain("files.holders", "%d of %d nodes are too many: with the introducers and two others they are at least %d", s.Files.Holders, s.Nodes, least)
		}
	}
	if least := s.Introducers + 2; s.Nodes < least && !d.bad("nodes") {
		d.complain("nodes", "%d are too few: an introducer, a publisher, and somebody else make at least %d", s.Nodes, least)
	}
	if s.Arrivals.Over > s.Warmup {
		d.complain("arrivals.over", "%v is longer than warmup, which is %v", s.Arrivals.Over, s.Warmup)
	}
	if s.Arrivals.Rate < 0 && s.Arrivals.Rate != -1 {
		d.complain("arrivals.rate", "want a number of nodes per second, or -1 for as many as leave")
	}
	for i, a := range s.Adversaries {
		if path := fmt.Sprintf("adversary[%d].kind", i); !slices.Contains(AdversaryKinds, a.Kind) && !d.bad(path) {
			d.complain(path, "%q is no kind of adversary%s", a.Kind, meant(a.Kind, AdversaryKinds))
		}
	}
	if s.Live != nil && s.Live.PublisherClass != "" {
		d.isClass(s, "live.publisher_class", s.Live.PublisherClass)
	}
	if s.Live != nil && s.Live.Lead >= s.Warmup && !d.bad("live.lead") && !d.bad("warmup") {
		d.complain("live.lead", "%v is not less than warmup, which is %v: the publisher has to come first", s.Live.Lead, s.Warmup)
	}
	if s.Live != nil && !d.bad("live.bitrate") {
		if perSecond := float64(s.Live.Bitrate) / 8 / float64(s.Live.Message); perSecond > 20_000 {
			d.complain("live.message", "%v at %v are %.0f messages a second: at most 20000", s.Live.Message, s.Live.Bitrate, perSecond)
		}
	}
}

// bad reports whether something is wrong with a key already.
func (d *decoder) bad(path string) bool {
	return slices.ContainsFunc(d.problems, func(p *Problem) bool { return p.Key == readable(path) })
}

func (d *decoder) checkNetwork(s *Scenario) {
	n := &s.Network
	kinds := []string{"synthetic", "flat", "file"}
	switch {
	case !slices.Contains(kinds, n.Geography):
		d.complain("network.geography", "%q is none of its values%s", n.Geography, meant(n.Geography, kinds))
	case n.Geography == "file" && len(n.Files) == 0:
		d.complain("network.geography", "file needs network.files: the matrices to read")
	case n.Geography != "file" && len(n.Files) > 0:
		d.complain("network.files", `are read only with geography = "file"`)
	}
	if _, given := d.given("network.latency"); given && n.Geography != "flat" {
		d.complain("network.latency", `counts only with geography = "flat"`)
	}
	if n.LastMile[1] < n.LastMile[0] {
		d.complain("network.last_mile", "the most, %v, is less than the least, %v", n.LastMile[1], n.LastMile[0])
	}
	if (n.BurstGood > 0) != (n.BurstBad > 0) {
		d.complain("network.burst_good", "bursts need both burst_good and burst_bad")
	}
	if n.MTU > 0 && n.MTU < 1232 {
		d.complain("network.mtu", "%d is too little: nodes begin with packets of up to 1232 bytes", n.MTU)
	}
}

// given returns the value of a key as it was written.
func (d *decoder) given(path string) (v any, ok bool) {
	v = d.source.tree
	for part := range strings.SplitSeq(path, ".") {
		tree, is := v.(map[string]any)
		if !is {
			return nil, false
		}
		if v, ok = tree[part]; !ok {
			return nil, false
		}
	}
	return v, true
}

func (d *decoder) checkClasses(s *Scenario) {
	sum := 0.0
	seen := map[string]bool{}
	for i := range s.Classes {
		c := &s.Classes[i]
		path := fmt.Sprintf("class[%d]", i)
		switch {
		case c.Name == "":
			d.complain(path, "needs a name")
		case !wordOnly.MatchString(c.Name):
			d.complain(path+".name", "%q: letters, digits, - and _ make a name", c.Name)
		case c.Name == ClassAll, c.Name == ClassPublisher:
			d.complain(path+".name", "%s is the name of figures of its own; choose another", c.Name)
		case seen[c.Name]:
			d.complain(path+".name", "two classes are named %s", c.Name)
		}
		seen[c.Name] = true
		sum += float64(c.Share)
		if c.Up == 0 && c.Down == 0 && (c.Queue > 0 || c.CoDel) {
			d.complain(path, "queue and codel need a speed: up, down, or both")
		}
	}
	if len(s.Classes) > 0 && math.Abs(sum-1) > 0.001 {
		d.complain("class", "the shares of all classes make %.3g, not 1", sum)
	}
}

func (d *decoder) isClass(s *Scenario, path, name string) {
	var names []string
	for i := range s.Classes {
		names = append(names, s.Classes[i].Name)
	}
	if !slices.Contains(names, name) {
		if len(names) == 0 {
			d.complain(path, "%q: there are no classes", name)
			return
		}
		d.complain(path, "no class is named %q%s", name, meant(name, names))
	}
}

func (d *decoder) checkShock(s *Scenario, i int) {
	sh := &s.Shocks[i]
	path := fmt.Sprintf("shock[%d]", i)
	rules, known := shockKeys[sh.Kind]
	if !known {
		if sh.Kind == "" && !d.bad(path+".kind") {
			d.complain(path, "needs a kind")
		}
		return
	}
	if sh.At > s.Duration {
		d.complain(path+".at", "%v is after the end: duration is %v", sh.At, s.Duration)
	}
	if i > 0 && sh.At < s.Shocks[i-1].At {
		d.complain(path+".at", "%v is before the shock above it, at %v: write shocks in their order", sh.At, s.Shocks[i-1].At)
	}
	tree := map[string]any{}
	if list, ok := d.source.tree["shock"].([]map[string]any); ok && i < len(list) {
		tree = list[i]
	}
	allowed := append([]string{"at", "kind"}, rules.needs...)
	allowed = append(allowed, rules.may...)
	if rules.target {
		allowed = append(allowed, "share", "region")
		if _, share := tree["share"]; !share && sh.Region == "" {
			d.complain(path, "%s needs share or region: whom it meets", sh.Kind)
		}
	}
	if _, share := tree["share"]; share && sh.Region != "" && sh.Kind != "die-region" {
		d.complain(path, "share and region: one of both says whom it meets")
	}
	for _, need := range rules.needs {
		if _, ok := tree[need]; !ok {
			d.complain(path, "%s needs %s", sh.Kind, need)
		}
	}
	for _, name := range sortedKeys(tree) {
		isKey := slices.ContainsFunc(Keys(), func(k Key) bool { return k.Path == "shock."+name })
		if isKey && !slices.Contains(allowed, name) {
			d.complain(path+"."+name, "a shock of kind %s has no use for it", sh.Kind)
		}
	}
	switch {
	case (sh.Kind == "cut" || sh.Kind == "pollute") && s.Live == nil:
		d.complain(path, "%s needs a stream: [live]", sh.Kind)
	case sh.Kind == "latencies" && s.Network.Geography == "flat":
		d.complain(path, "a flat geography has no other latencies")
	case sh.Kind == "latencies" && s.Network.Geography == "file" && len(s.Network.Files) == 1:
		d.complain(path, "latencies needs the measurement of another time: several network.files")
	}
	if sh.Region != "" {
		d.checkRegion(s, path+".region", sh.Region)
	}
}

func (d *decoder) checkRegion(s *Scenario, path, region string) {
	if s.Network.Geography == "file" {
		return // known when the files are read
	}
	m := geography.Synthetic()
	if s.Network.Geography == "flat" {
		d.complain(path, "a flat geography has no regions; give a share instead")
		return
	}
	if regions := m.Regions(); !slices.Contains(regions, region) {
		d.complain(path, "no region is named %q%s", region, meant(region, regions))
	}
}

// fill puts in what depends on other keys.
func (s *Scenario) fill(dir string, lastMile bool) {
	if s.Network.Geography == "synthetic" && !lastMile {
		_ = s.Network.LastMile[0].set("1ms")
		_ = s.Network.LastMile[1].set("10ms")
	}
	for i, name := range s.Network.Files {
		if !filepath.IsAbs(name) {
			s.Network.Files[i] = filepath.Join(dir, name)
		}
	}
}
