package main

import (
	"rtmfp/node"
	"rtmfp/node/store"
)

// fileFlags are the flags of commands that exchange files.
type fileFlags struct {
	storeFlags
	DownloadLimit  bitRate `name:"download-limit" help:"Most that the node takes in all, such as 50M for 50 Mbit/s: streams whatever they need, and files what these leave. Default: no limit." placeholder:"RATE"`
	NoOrigins      bool    `name:"no-origins" help:"Never fetch from the web servers that a link names. Without this, blocks that no member has are fetched there."`
	PrivateOrigins bool    `name:"private-origins" help:"Also ask web servers at loopback, private, and link-local addresses. Links come from anybody: they could have this node look around in its own network."`
}

// configure tells a node about the store, and how files may come.
func (f *fileFlags) configure(cfg *node.Config, s *store.Store) {
	cfg.Store, cfg.NoOrigins, cfg.PrivateOrigins = s, f.NoOrigins, f.PrivateOrigins
	cfg.DownloadLimit = f.DownloadLimit.bytes()
}
