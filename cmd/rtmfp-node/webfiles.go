package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"

	"rtmfp/node"
	"rtmfp/node/gateway"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// webFlags are those of the HTTP gateway to a group's files.
type webFlags struct {
	HTTP       string   `name:"http" help:"Serve the files of the groups on this HTTP address: a list at /files/, files at /files/HASH and /names/PEER-ID/NAME." placeholder:"ADDR"`
	HTTPToken  string   `name:"http-token" env:"RTMFP_HTTP_TOKEN" help:"Let whoever sends this token put files here, with PUT /files/NAME. Default: nobody." placeholder:"TOKEN"`
	HTTPHost   []string `name:"http-host" sep:"none" help:"Name by which the HTTP address may be called, beside IP addresses and localhost. May be repeated." placeholder:"NAME"`
	HTTPOrigin []string `name:"http-origin" sep:"none" help:"Web page that may read the files, such as https://player.example.org, or *. May be repeated." placeholder:"URL"`
}

// serveFiles serves the files of groups until the listener that is returned is
// closed.
func (f *webFlags) serveFiles(s *store.Store, groups []*node.Group, log *slog.Logger) (net.Listener, error) {
	l, err := net.Listen("tcp", f.HTTP)
	if err != nil {
		return nil, httpError(err, f.HTTP)
	}
	g := gateway.New(&groupFiles{s, groups}, gateway.Options{
		Token: f.HTTPToken, Hosts: f.HTTPHost, Origins: f.HTTPOrigin, Log: log,
	})
	mux := http.NewServeMux()
	mux.Handle("/files/", g)
	mux.Handle("/names/", g)
	mux.Handle("/{$}", http.RedirectHandler("/files/", http.StatusFound))
	server := gateway.Server(mux)
	go server.Serve(g.Listener(l))
	return closer{l, server.Close}, nil
}

// closer is a listener whose Close ends its server.
type closer struct {
	net.Listener
	close func() error
}

func (c closer) Close() error { return c.close() }

// groupFiles are the files of a node's groups, as the gateway wants them.
type groupFiles struct {
	store  *store.Store
	groups []*node.Group // that carry files
}

// Open returns a file as soon as all of it is here or a member of one of the
// groups has some of it.
func (g *groupFiles) Open(ctx context.Context, want gateway.Want) (gateway.File, error) {
	reading := ctx
	m := content.Manifest{Hash: want.Hash, Size: want.Size, Name: want.Name, Origins: want.Origins}
	if info, err := g.store.Info(want.Hash); err == nil {
		m = info.Manifest
		if len(m.Origins) == 0 {
			m.Origins = want.Origins
		}
	} else if want.Size < 0 {
		return nil, fmt.Errorf("%w: %s is not here, and its size is not known (?size=N)", fs.ErrNotExist, want.Hash)
	}
	if m.Name == "" {
		m.Name = want.Hash.String()
	}
	var open []*node.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for _, group := range g.groups {
		f, err := group.Objects().OpenManifest(ctx, m)
		if err != nil {
			return nil, asGateway(err)
		}
		f.Prefer(want.At)
		open = append(open, f)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := make(chan int, len(open))
	errs := make(chan error, len(open))
	for i, f := range open {
		go func() {
			if err := f.WaitSource(ctx); err != nil {
				errs <- err
				return
			}
			first <- i
		}()
	}
	for failed := 0; ; {
		select {
		case i := <-first:
			f := open[i]
			open = append(open[:i:i], open[i+1:]...)
			return newWebFile(reading, f), nil
		case err := <-errs:
			if failed++; failed == len(open) {
				return nil, asGateway(err)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// webFile is a file whose reads end with the request.
type webFile struct {
	*node.File
	stop func() bool
}

func newWebFile(ctx context.Context, f *node.File) *webFile {
	return &webFile{f, context.AfterFunc(ctx, func() { f.Close() })}
}

func (f *webFile) Close() error {
	f.stop()
	return f.File.Close()
}

// Resolve asks the groups for a publisher's name, one after the other.
func (g *groupFiles) Resolve(ctx context.Context, publisher content.Hash, name string) (m content.Manifest, err error) {
	err = fs.ErrNotExist
	for _, group := range g.groups {
		if m, err = group.Objects().Resolve(ctx, name, node.PeerID(publisher)); err == nil {
			return m, nil
		}
	}
	return m, asGateway(err)
}

// List returns what is in the store.
func (g *groupFiles) List(context.Context) (list []gateway.Entry, err error) {
	for _, i := range g.store.List() {
		list = append(list, gateway.Entry{Manifest: i.Manifest, Complete: i.Complete})
	}
	return list, nil
}

// Put adds a file to the store, from which all groups can have it.
func (g *groupFiles) Put(ctx context.Context, u gateway.Upload) (content.Manifest, error) {
	info, err := g.store.AddReader(ctx, u.Body, u.Size, store.AddOptions{Name: u.Name, MediaType: u.MediaType, Pin: true})
	if err != nil {
		return content.Manifest{}, asGateway(err)
	}
	return info.Manifest, nil
}

// asGateway makes an error one that the gateway knows.
func asGateway(err error) error {
	switch {
	case errors.Is(err, node.ErrNoFile), errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrQuota):
		return fmt.Errorf("%w: %w", gateway.ErrNoRoom, err)
	case errors.Is(err, content.ErrName), errors.Is(err, content.ErrSize):
		return fmt.Errorf("%w: %w", gateway.ErrRefused, err)
	}
	return err
}
