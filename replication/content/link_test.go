package content

import (
	"errors"
	"strings"
	"testing"

	"rtmfp/group"
)

func link(t testing.TB) *Link {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "party", Replication: true})
	if err != nil {
		t.Fatal(err)
	}
	return &Link{Hash: helloHash, Size: 5, Name: "my talk & more.mp4", MediaType: "video/mp4", Group: spec.String(),
		Introducers: []string{"rtmfp://seed.example.org", "rtmfp://[2001:db8::1]:1936"}, Origins: []string{"https://example.org/a?b=%20&c", "http://x/"}}
}

func TestLink(t *testing.T) {
	const want = "rtmfp-file:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f?size=5&name=my%20talk%20%26%20more.mp4" +
		"&type=video/mp4&group=G:010200060e7061727479027f0200&via=rtmfp://seed.example.org&via=rtmfp://%5B2001:db8::1%5D:1936" +
		"&origin=https://example.org/a%3Fb%3D%2520%26c&origin=http://x/"
	l := link(t)
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	group := l.Group
	if got := strings.Replace(text, group, "G:010200060e7061727479027f0200", 1); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	shuffled := "  <RTMFP-FILE:" + strings.ToUpper(helloHash.String()) + "?via=rtmfp://seed.example.org&name=my%20talk%20%26%20more.mp4" +
		"&via=rtmfp://[2001:db8::1]:1936&group=" + strings.Replace(strings.ToUpper(group), "G:", "g:", 1) + "&type=video%2Fmp4&origin=https%3A//example.org/a%3Fb%3D%2520%26c&size=5&origin=http://x/>\n"
	for _, given := range []string{text, shuffled} {
		got, err := ParseLink(given)
		if err != nil {
			t.Fatalf("%s: %v", given, err)
		}
		if again, err := got.Text(); err != nil || again != text {
			t.Errorf("%s became %s, %v", given, again, err)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	text, _ := link(t).Text()
	base := "rtmfp-file:" + helloHash.String()
	for _, c := range []struct{ text, want string }{
		{"", "empty"},
		{"http://example.org", "begins with"},
		{base, "a part was lost"},
		{base[:40] + "?size=5&name=x", "hexadecimal digits"},
		{base + "?name=x", "no size"},
		{base + "?size=5", "no size or no name"},
		{base + "?size=5&name=", "no value"},
		{base + "?size=5&name=x&size=6", "twice"},
		{base + "?size=05&name=x", "not a number"},
		{base + "?size=-5&name=x", "not a number"},
		{base + "?size=99999999999999&name=x", "bytes"},
		{base + "?size=5&name=a%2Fb", "character"},
		{base + "?size=5&name=%2e%2e", "directory"},
		{base + "?size=5&name=%zz", "not escaped"},
		{base + "?size=5&name=%ff", "not escaped"},
		{base + "?size=5&name=x y", "copy the whole link"},
		{base + "?size=5&name=é", "copy the whole link"},
		{base + "?size=5&name=x&color=red", `does not know "color"`},
		{base + "?size=5&name=x&group=H:00", "groupspec"},
		{base + "?size=5&name=x&via=http://x", "introducer"},
		{base + "?size=5&name=x&via=rtmfp://x/y", "introducer"},
		{base + "?size=5&name=x&via=rtmfp://x:0", "introducer"},
		{base + "?size=5&name=x&via=rtmfp://[::1", "introducer"},
		{base + "?size=5&name=x" + strings.Repeat("&via=rtmfp://x", 9), "introducers"},
		{base + "?size=5&name=x&origin=ftp://x", "http"},
		{base + "?size=5&name=x&origin=http://u@x", "user name"},
		{base + "?size=5&name=x" + strings.Repeat("&origin=http://x", 5), "origins"},
		{text + strings.Repeat("x", MaxLink), "no more than"},
	} {
		l, err := ParseLink(c.text)
		if !errors.Is(err, ErrLink) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot %+v, %v; want %q", clip(c.text), l, err, c.want)
		}
	}
	for name, change := range map[string]func(*Link){
		"name":       func(l *Link) { l.Name = "a/b" },
		"size":       func(l *Link) { l.Size = -1 },
		"group":      func(l *Link) { l.Group = "party" },
		"group case": func(l *Link) { l.Group = "g" + l.Group[1:] },
		"origin":     func(l *Link) { l.Origins = []string{"x"} },
		"introducer": func(l *Link) { l.Introducers = []string{"rtmfp://a b"} },
	} {
		l := link(t)
		change(l)
		if text, err := l.Text(); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}

// What is read as a link is written so that it is read as the same.
func FuzzParseLink(f *testing.F) {
	text, _ := link(f).Text()
	f.Add(text)
	f.Add(" <rtmfp-file:" + helloHash.String() + "?size=5&name=x> ")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLink(text)
		if err != nil {
			return
		}
		written, err := l.Text()
		if err != nil {
			t.Fatalf("%q read, but not written: %v", text, err)
		}
		again, err := ParseLink(written)
		if err != nil {
			t.Fatalf("%q: %v", written, err)
		}
		if third, _ := again.Text(); third != written {
			t.Fatalf("%q became %q", written, third)
		}
	})
}
