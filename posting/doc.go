// Package posting carries small messages from any member of a group to all of
// them. A post is signed by its author, pushed at once along one of a few
// trees of the mesh that its receivers grow and mend, announced to a few other
// neighbors, and fetched by those whom the push missed. What is younger than
// ten minutes is kept, so that whoever comes late or was cut off gets it too.
//
// A Service is the posts of one group on one node. It is a deterministic state
// machine: whoever calls it owns it until the call returns, time is an
// argument, and what it has to say goes out through the small Flows interface
// and NextPost. docs/posting.md specifies what goes over the wire; all of it is
// ours, and members that did not offer it never see any.
package posting
