package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

// The pictures of a small group: XML as a browser wants it, a line for each
// viewer that is fed in every panel, and curves.
func TestDraw(t *testing.T) {
	const members = 20
	files, err := draw(3, members)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Fatalf("%d files", len(files))
	}
	for name, svg := range files {
		count := map[string]int{}
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := token.(xml.StartElement); ok {
				count[e.Name.Local]++
			}
		}
		if strings.Contains(svg, "NaN") {
			t.Errorf("%s has a point that is not a number", name)
		}
		switch name {
		case "multicast-trees.svg":
			if got := count["line"]; got != 2*(members-2+5) {
				t.Errorf("%d lines, want those of %d viewers and of the legend, twice", got, members-2)
			}
		default:
			if count["path"] == 0 {
				t.Errorf("%s has no curve", name)
			}
		}
	}
}
