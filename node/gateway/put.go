package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"rtmfp/replication/content"
)

// put takes a file from the owner.
func (g *Gateway) put(w http.ResponseWriter, r *http.Request) {
	if g.opt.Token == "" {
		fail(w, http.StatusForbidden, "this gateway takes no files")
		return
	}
	if !g.isOwner(r) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		fail(w, http.StatusUnauthorized, "send the token of the owner: Authorization: Bearer TOKEN")
		return
	}
	name := r.PathValue("name")
	if err := content.CheckName(name); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	typ := r.Header.Get("Content-Type")
	if base, _, err := mime.ParseMediaType(typ); err != nil || content.CheckMediaType(typ) != nil ||
		base == "application/x-www-form-urlencoded" || base == "application/octet-stream" {
		typ = "" // the first is what clients say that were told nothing
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		fail(w, http.StatusUnsupportedMediaType, "send the file itself, not a form")
		return
	}
	if r.ContentLength > g.opt.MaxUpload {
		g.refuse(w, r, &http.MaxBytesError{Limit: g.opt.MaxUpload})
		return
	}
	body := &limitedReader{http.MaxBytesReader(w, r.Body, g.opt.MaxUpload), http.NewResponseController(w), g.opt.Timeout}
	m, err := g.files.Put(r.Context(), Upload{Name: name, MediaType: typ, Size: r.ContentLength, Body: body})
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	location := "/files/" + m.Hash.String() + "/" + url.PathEscape(m.Name)
	h := w.Header()
	h.Set("Location", location)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(struct {
		Hash string `json:"hash"`
		Size int64  `json:"size"`
		Name string `json:"name"`
		Path string `json:"path"`
	}{m.Hash.String(), m.Size, m.Name, location})
}

// isOwner compares the token in a time that tells nothing of it, its length
// included.
func (g *Gateway) isOwner(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(g.opt.Token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
