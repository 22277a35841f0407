// Command mistakes plants protocol mistakes in the code, one at a time, and
// tells which of them the scenarios of the simulator catch:
//
//	go run ./simulations/mistakes
//
// A mistake is a small change of one function. All of them are laid over the
// sources while rtmfp-node is built (go build -overlay), so that the checkout
// stays as it is, and an environment variable chooses one of them. Then
// `rtmfp-node simulate` runs the scenarios of the folder hunt in turn until one
// fails. The share of mistakes that are caught is a figure of the project: it
// says how much a green run of the scenarios is worth.
package main

// Mistake is a change that makes the code wrong.
type Mistake struct {
	Name string
	Why  string // what goes wrong, for somebody who reads the table
	File string // below the top of the module, with slashes
	Old  string // stands exactly once in File
	New  string
}

// all returns every mistake, room by room.
func all() []Mistake {
	var list []Mistake
	for _, room := range [][]Mistake{inTransport, inMulticast, inGroup, inPosting} {
		list = append(list, room...)
	}
	return list
}
