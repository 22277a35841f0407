package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"rtmfp/node"
	"rtmfp/node/origin"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// fileFlags are the flags of commands that exchange files.
type fileFlags struct {
	storeFlags
	DownloadLimit  bitRate  `name:"download-limit" help:"Most that the node takes in all, such as 50M for 50 Mbit/s: streams whatever they need, and files what these leave. Default: no limit." placeholder:"RATE"`
	NoOrigins      bool     `name:"no-origins" help:"Never fetch from the web servers that a link names. Without this, blocks that no member has are fetched there."`
	PrivateOrigins bool     `name:"private-origins" help:"Also ask web servers at loopback, private, and link-local addresses. Links come from anybody: they could have this node look around in its own network."`
	S3             []string `name:"s3" sep:"none" help:"Objects that are read with the keys in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, in AWS_REGION, where a link names one as an origin: all whose URL begins so. May be repeated." placeholder:"https://ENDPOINT/BUCKET/"`
}

// Validate is called by the parser once all flags are set.
func (f *fileFlags) Validate() error {
	for _, prefix := range f.S3 {
		if content.CheckOrigin(prefix) != nil || strings.Count(prefix, "/") < 4 || !strings.HasSuffix(prefix, "/") {
			return fmt.Errorf("--s3 %s: write https://ENDPOINT/BUCKET/, with a slash at the end", prefix)
		}
		if os.Getenv("AWS_ACCESS_KEY_ID") == "" || os.Getenv("AWS_SECRET_ACCESS_KEY") == "" {
			return errors.New("--s3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
		}
	}
	return nil
}

// configure tells a node about the store, and how files may come.
func (f *fileFlags) configure(cfg *node.Config, s *store.Store) {
	cfg.Store, cfg.NoOrigins, cfg.PrivateOrigins = s, f.NoOrigins, f.PrivateOrigins
	cfg.DownloadLimit = f.DownloadLimit.bytes()
	for _, prefix := range f.S3 {
		cfg.S3 = append(cfg.S3, origin.S3{
			Prefix: prefix, Region: os.Getenv("AWS_REGION"),
			AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		})
	}
}
