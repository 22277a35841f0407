package transport

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// docs/limits.md names every limit with its default and its range, every reason
// for which something is dropped, and every counter, and no others.
func TestLimitsDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{} // cells by the first one, which is in backquotes
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if name := strings.Trim(cells[0], "`"); len(cells) > 1 && "`"+name+"`" == cells[0] {
			if rows[name] != nil {
				t.Errorf("%s is listed twice", name)
			}
			rows[name] = cells[1:]
		}
	}
	take := func(name string) []string {
		row := rows[name]
		if delete(rows, name); row == nil {
			t.Errorf("%s is not listed", name)
		}
		return row
	}
	for _, l := range new(Config).limits() {
		if row := take(l.name); row != nil && (row[0] != fmt.Sprint(l.def) || row[1] != fmt.Sprintf("%d to %d", l.least, l.largest)) {
			t.Errorf("%s: documented as %q, want %d, %d to %d", l.name, row[:2], l.def, l.least, l.largest)
		}
	}
	cfg, err := Config{Identity: newVictim(t).a.cfg.Identity, Rand: reader{}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(cfg)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Type.String() == "time.Duration" {
			if row := take(f.Name); row != nil && row[0] != fmt.Sprint(v.Field(i).Interface()) {
				t.Errorf("%s: documented as %s, want %v", f.Name, row[0], v.Field(i).Interface())
			}
		}
	}
	for why := range drops {
		if take(why.String()); why.String() == "" || why.String() == "unknown" {
			t.Errorf("reason %d has no name", why)
		}
	}
	for name, value := range map[string]int{
		"redirectThreshold": redirectThreshold, "maxRedirected": maxRedirected, "maxReported": maxReported, "maxTag": maxTag, "maxCookie": maxCookie,
		"maxCertificate": maxCertificate, "maxEPD": maxEPD, "maxStartupPacket": maxStartupPacket, "maxStartupDatagram": maxStartupDatagram, "maxStartupChunks": maxStartupChunks,
		"maxFragments": maxFragments, "maxRanges": maxRanges, "maxMetadata": maxMetadata,
	} {
		if row := take(name); row != nil && row[0] != fmt.Sprint(value) {
			t.Errorf("%s: documented as %s, want %d", name, row[0], value)
		}
	}
	for name := range rows {
		t.Errorf("%s is listed, and is no limit", name)
	}
}
