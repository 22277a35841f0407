package element

// Option is one element of an option list (RFC 7016 §2.1.3). Value is a part
// of the bytes that it was read from.
type Option struct {
	Type   uint64
	Value  []byte
	Marker bool // a length of zero: the end of a list that more data follows
}

// AppendOption appends an option: VLU length of type and value, VLU type, value.
func AppendOption(b []byte, typ uint64, value []byte) []byte {
	b = AppendVLU(b, uint64(SizeVLU(typ)+len(value)))
	b = AppendVLU(b, typ)
	return append(b, value...)
}

// AppendOptionVLU appends an option whose value is a single VLU.
func AppendOptionVLU(b []byte, typ, value uint64) []byte {
	b = AppendVLU(b, uint64(SizeVLU(typ)+SizeVLU(value)))
	b = AppendVLU(b, typ)
	return AppendVLU(b, value)
}

// AppendMarker appends the option of length zero that ends a list.
func AppendMarker(b []byte) []byte { return append(b, 0) }

// ConsumeOption reads one option or marker from the front of b and returns the
// number of bytes that it took, 0 if b is truncated or the type does not fit
// its length.
func ConsumeOption(b []byte) (o Option, n int) {
	length, n := ConsumeVLU(b)
	if n == 0 || length > uint64(len(b)-n) {
		return Option{}, 0
	}
	if length == 0 {
		return Option{Marker: true}, n
	}
	body := b[n : n+int(length)]
	typ, m := ConsumeVLU(body)
	if m == 0 {
		return Option{}, 0
	}
	return Option{Type: typ, Value: body[m:]}, n + int(length)
}

// ConsumeField reads a VLU length and that many bytes, the form in which
// chunks carry variable fields. n is 0 if b is truncated.
func ConsumeField(b []byte) (value []byte, n int) {
	length, n := ConsumeVLU(b)
	if n == 0 || length > uint64(len(b)-n) {
		return nil, 0
	}
	return b[n : n+int(length)], n + int(length)
}

// AppendField appends a VLU length and the value.
func AppendField(b, value []byte) []byte {
	b = AppendVLU(b, uint64(len(value)))
	return append(b, value...)
}
