package gateway

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"rtmfp/replication/content"
)

// page is a list of files, without scripts, readable by any browser.
var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #8884;overflow-wrap:anywhere}
td:nth-child(2){text-align:right;white-space:nowrap}code{font-size:.8rem}</style></head>
<body><h1>{{.Title}}</h1>
{{if .Rows}}<table><tr><th>Name</th><th>Size</th><th>Hash</th></tr>
{{range .Rows}}<tr><td><a href="{{.Path}}">{{.Name}}</a>{{if .Note}} ({{.Note}}){{end}}</td><td>{{.Size}}</td><td><code>{{.Hash}}</code></td></tr>
{{end}}</table>{{else}}<p>No files.</p>{{end}}
{{if .More}}<p>And {{.More}} more.</p>{{end}}
</body></html>
`))

type row struct{ Name, Path, Size, Hash, Note string }

// list shows the files that are here.
func (g *Gateway) list(w http.ResponseWriter, r *http.Request) {
	if g.opt.NoList {
		fail(w, http.StatusNotFound, "this gateway does not show what it has")
		return
	}
	entries, err := g.files.List(r.Context())
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Manifest.Name, b.Manifest.Name), slices.Compare(a.Manifest.Hash[:], b.Manifest.Hash[:]))
	})
	var rows []row
	for _, e := range entries[:min(len(entries), maxListed)] {
		m := &e.Manifest
		ro := row{Name: m.Name, Path: m.Hash.String() + "/", Size: sizeText(m.Size), Hash: m.Hash.String()}
		if m.IsDirectory() {
			ro.Note = "directory"
		} else {
			ro.Path += url.PathEscape(m.Name)
		}
		if !e.Complete {
			ro.Note = strings.TrimPrefix(ro.Note+", not complete", ", ")
		}
		rows = append(rows, ro)
	}
	w.Header().Set("Cache-Control", "no-store")
	g.sendPage(w, "Files", rows, len(entries)-len(rows))
}

// sendDirectory shows the files of a directory.
func (g *Gateway) sendDirectory(w http.ResponseWriter, r *http.Request, d *content.Directory, m content.Manifest) {
	etag := `"` + m.Hash.String() + `-page"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	var rows []row
	for i := range d.Entries[:min(len(d.Entries), maxListed)] {
		e := &d.Entries[i]
		// A name with a colon at its beginning would be a scheme.
		link := "./" + (&url.URL{Path: path.Clean(e.Path)}).EscapedPath()
		rows = append(rows, row{Name: e.Path, Path: link, Size: sizeText(e.Size), Hash: e.Hash.String()})
	}
	g.sendPage(w, m.Name, rows, len(d.Entries)-len(rows))
}

func (g *Gateway) sendPage(w http.ResponseWriter, title string, rows []row, more int) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	err := page.Execute(w, struct {
		Title string
		Rows  []row
		More  int
	}{title, rows, more})
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// sizeText is a size for people.
func sizeText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		if v /= 1000; v < 999.5 {
			return fmt.Sprintf("%.3g %s", v, unit)
		}
	}
	return fmt.Sprintf("%.0f TB", v)
}
