package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"rtmfp/node"
)

// recordCmd is the family of commands about records.
type recordCmd struct {
	Put recordPutCmd `cmd:"" help:"Put a small value under a name."`
	Get recordGetCmd `cmd:"" help:"Get what is under a name."`
}

// recordPutCmd puts a record.
type recordPutCmd struct {
	memberFlags
	TTL      time.Duration `name:"ttl" default:"1h" help:"How long members keep it, a day at most. Default: 1h." placeholder:"D"`
	Sequence uint64        `help:"Number of this version; a higher one replaces a lower one of the same owner. Default: the time." placeholder:"N"`
	Name     string        `arg:"" help:"Name of the record."`
	Value    *string       `arg:"" optional:"" help:"Its value, at most 1024 bytes. Without one, stdin."`
}

// Help describes the command with examples.
func (*recordPutCmd) Help() string {
	return `
Signs the value with this node's identity and gives it to the eight members that are nearest to the name. Who puts again under the same name, with the same identity, replaces the value; the records of others under that name stay beside it.

Examples:

    rtmfp-node record put --group "$SPEC" --bootstrap rtmfp://seed.example.org motd "doors open at eight"
    date | rtmfp-node record put --group "$SPEC" --bootstrap rtmfp://seed.example.org --ttl 10m lastrun
`
}

// Validate is called by the parser once all flags are set.
func (c *recordPutCmd) Validate() error {
	if c.TTL <= 0 || c.TTL > 24*time.Hour {
		return errors.New("--ttl must be more than 0 and at most 24h")
	}
	return nil
}

// Run puts the record.
func (c *recordPutCmd) Run(ctx context.Context, e *env) error {
	var value []byte
	if c.Value != nil {
		value = []byte(*c.Value)
	} else {
		var err error
		if value, err = io.ReadAll(io.LimitReader(e.stdin, node.MaxRecord+1)); err != nil {
			return failf(exitInput, "can't read stdin: %w", err)
		}
	}
	if len(value) > node.MaxRecord {
		return failf(exitInput, "a record has at most %d bytes", node.MaxRecord)
	}
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if err := c.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	err = g.PutRecord(ctx, c.Name, value, node.PutOptions{Sequence: c.Sequence, TTL: c.TTL})
	if errors.Is(err, node.ErrRecordStale) {
		return failf(exitFailure, "a version of %q with a higher number than %d is there already", c.Name, c.Sequence)
	}
	return ended(ctx, err)
}

// recordGetCmd gets records.
type recordGetCmd struct {
	memberFlags
	Owner peerID `help:"Only the record of this owner, a peer id." placeholder:"ID"`
	JSON  bool   `name:"json" help:"Print one JSON object per record: owner, sequence, ends, and text, or base64 if the value is no text."`
	Name  string `arg:"" help:"Name of the record."`
}

// Help describes the command with examples.
func (*recordGetCmd) Help() string {
	return `
Prints the value under the name, that of the highest number if several owners have one there; with --json all of them. Exit code 1 says that there is none.

Examples:

    rtmfp-node record get --group "$SPEC" --bootstrap rtmfp://seed.example.org motd
    rtmfp-node record get --group "$SPEC" --bootstrap rtmfp://seed.example.org --json motd
`
}

// peerID is a peer id on the command line.
type peerID struct {
	id  node.PeerID
	set bool
}

// UnmarshalText reads 64 hexadecimal digits.
func (p *peerID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(p.id) {
		return errors.New("a peer id has 64 hexadecimal digits")
	}
	p.id, p.set = node.PeerID(b), true
	return nil
}

// recordReport is a record as JSON.
type recordReport struct {
	Owner    string    `json:"owner"`
	Sequence uint64    `json:"sequence"`
	Ends     time.Time `json:"ends"`
	Text     *string   `json:"text,omitempty"`
	Base64   string    `json:"base64,omitempty"`
}

// Run gets the records.
func (c *recordGetCmd) Run(ctx context.Context, e *env) error {
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if err := c.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	var owners []node.PeerID
	if c.Owner.set {
		owners = append(owners, c.Owner.id)
	}
	list, err := g.GetRecords(ctx, c.Name, owners...)
	if err != nil {
		return ended(ctx, err)
	}
	if len(list) == 0 {
		return failf(exitFailure, "there is no record %q", c.Name)
	}
	if !c.JSON {
		_, err := fmt.Fprintf(e.stdout, "%s\n", list[0].Value)
		return ended(ctx, err)
	}
	for _, r := range list {
		report := recordReport{Owner: r.Owner.String(), Sequence: r.Sequence, Ends: r.Ends.UTC()}
		report.Text, report.Base64 = textOrBase64(r.Value)
		if err := json.NewEncoder(e.stdout).Encode(report); err != nil {
			return ended(ctx, err)
		}
	}
	return nil
}

// textOrBase64 returns data as text if it is UTF-8, and otherwise in base64.
func textOrBase64(data []byte) (text *string, encoded string) {
	if utf8.Valid(data) {
		s := string(data)
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(data)
}
