package wire

import "rtmfp/internal/element"

// Types of the options of a flow (RFC 7016 §2.3.11.1).
const (
	OptionMetadata   = 0x00 // the user's per-flow metadata
	OptionReturnFlow = 0x0a // return flow association

	// FirstIgnorableOption is the first type that a receiver which does not
	// know it ignores; below it, the flow is rejected (RFC 7016 §2.3.11.1).
	FirstIgnorableOption = 8192
)

// FlowOptions is what the first chunks of a flow say about it.
type FlowOptions struct {
	Metadata      []byte
	ReturnFlow    uint64 // flow id of the receiver's own flow that this one answers
	HasMetadata   bool
	HasReturnFlow bool
	Unknown       bool // holds an option that must be known and is not: reject the flow
}

// Append appends the list without its marker, as UserData.Options wants it.
func (o FlowOptions) Append(b []byte) []byte {
	if o.HasMetadata {
		b = element.AppendOption(b, OptionMetadata, o.Metadata)
	}
	if o.HasReturnFlow {
		b = element.AppendOptionVLU(b, OptionReturnFlow, o.ReturnFlow)
	}
	return b
}

// ParseFlowOptions reads an option list. It is false if the list is malformed
// or has a second metadata or return association ("A flow MUST NOT indicate
// more than one return association", RFC 7016 §2.3.11.1.2).
func ParseFlowOptions(list []byte) (o FlowOptions, ok bool) {
	for len(list) > 0 {
		opt, n := element.ConsumeOption(list)
		if n == 0 {
			return FlowOptions{}, false
		}
		list = list[n:]
		switch {
		case opt.Marker:
			return o, true
		case opt.Type == OptionMetadata:
			if o.HasMetadata {
				return FlowOptions{}, false
			}
			o.Metadata, o.HasMetadata = opt.Value, true
		case opt.Type == OptionReturnFlow:
			id, m := element.ConsumeVLU(opt.Value)
			if m == 0 || o.HasReturnFlow {
				return FlowOptions{}, false
			}
			o.ReturnFlow, o.HasReturnFlow = id, true
		case opt.Type < FirstIgnorableOption:
			o.Unknown = true
		}
	}
	return o, true
}
