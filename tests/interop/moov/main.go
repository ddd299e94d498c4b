// Command moov reads and writes ISO 8583 messages with moov-io/iso8583, for the tests beside it: JSON lines in,
// JSON lines out.
//
// The tables below were written from the protocol reference (its sections 1.2 and 2.2), not from posd's own, so that a
// misreading on one side shows as a difference.
//
//	{"op": "decode", "dialect": "unionpay", "hex": "0200..."}  ->  {"mti": "0200", "fields": {"3": "000000"}, "hex": ...}
//	{"op": "encode", "dialect": "unionpay", "mti": "0200", "fields": {"3": "000000"}}  ->  {"hex": "0200..."}
//	{"op": "spec", "dialect": "nac"}  ->  {"rows": [{"field": 2, "type": "n", "max": 19, "prefix": 2}]}
//
// "hex" of a decode is what moov writes of what it has read. Anything wrong is {"error": "..."}.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/encoding"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"
)

// row is one line of a field table. max counts digits (n, z) or bytes; prefix is 0, 2 (LL) or 3 (LLL).
type row struct {
	Field  int    `json:"field"`
	Type   string `json:"type"`
	Max    int    `json:"max"`
	Prefix int    `json:"prefix"`
}

// unionPay is reference 1.2.
var unionPay = []row{
	{2, "n", 19, 2}, {3, "n", 6, 0}, {4, "n", 12, 0}, {11, "n", 6, 0}, {12, "n", 6, 0}, {13, "n", 4, 0},
	{14, "n", 4, 0}, {15, "n", 4, 0}, {22, "n", 3, 0}, {23, "n", 3, 0}, {25, "n", 2, 0}, {26, "n", 2, 0},
	{32, "n", 11, 2}, {35, "z", 37, 2}, {36, "z", 104, 3}, {37, "an", 12, 0}, {38, "an", 6, 0}, {39, "an", 2, 0},
	{41, "an", 8, 0}, {42, "an", 15, 0}, {44, "ans", 25, 2}, {48, "n", 322, 3}, {49, "an", 3, 0}, {52, "b", 8, 0},
	{53, "n", 16, 0}, {54, "ans", 40, 3}, {55, "b", 255, 3}, {57, "ans", 100, 3}, {58, "ans", 100, 3},
	{59, "ans", 600, 3}, {60, "n", 17, 3}, {61, "n", 29, 3}, {62, "b", 512, 3}, {63, "ans", 163, 3}, {64, "b", 8, 0},
}

// nac is reference 2.2, which says what differs from 1.2. Where it gives no length, the prefix is the limit.
var nac = []row{
	{2, "n", 19, 2}, {3, "n", 6, 0}, {4, "n", 12, 0}, {11, "n", 6, 0}, {12, "n", 6, 0}, {13, "n", 4, 0},
	{14, "n", 4, 0}, {15, "n", 4, 0}, {22, "n", 3, 0}, {23, "n", 3, 0}, {24, "n", 3, 0}, {25, "n", 2, 0},
	{26, "n", 2, 0}, {32, "n", 11, 2}, {35, "z", 37, 2}, {36, "z", 104, 3}, {37, "an", 12, 0}, {38, "an", 6, 0},
	{39, "an", 2, 0}, {41, "an", 8, 0}, {42, "an", 15, 0}, {44, "ans", 25, 2}, {45, "ans", 76, 2},
	{48, "ans", 999, 3}, {49, "an", 3, 0}, {52, "b", 8, 0}, {53, "n", 16, 0}, {54, "ans", 12, 3}, {55, "b", 255, 3},
	{57, "ans", 100, 3}, {58, "ans", 100, 3}, {59, "ans", 600, 3},
	{60, "ans", 999, 3}, {61, "ans", 999, 3}, {62, "ans", 999, 3}, {63, "ans", 999, 3}, {64, "b", 8, 0},
}

// wire is how a dialect writes its rows: the knobs of the reference.
type wire struct {
	ascii    bool         // MTI, digits, tracks and prefixes as ASCII digits
	left     map[int]bool // fixed fields of an odd length that are left-justified
	varRight bool         // numbers of variable length are right-justified
	fill     byte         // what fills up an odd number of variable length that is left-justified
}

func dialect(name string) ([]row, wire, error) {
	base, knobs, _ := strings.Cut(name, "+")
	rows, w := map[string][]row{"unionpay": unionPay, "nac": nac}[base], wire{fill: '0', left: map[int]bool{}}
	if rows == nil {
		return nil, w, fmt.Errorf("no dialect %q", base)
	}
	w.left[22] = base == "unionpay"
	for _, knob := range strings.FieldsFunc(knobs, func(r rune) bool { return r == '+' }) {
		switch knob {
		case "f22-right":
			w.left[22] = false
		case "f23-left":
			w.left[23] = true
		case "f24":
			rows = append(append([]row{}, rows...), row{24, "n", 3, 0})
		case "f61-ascii":
			rows = changed(rows, row{61, "an", 29, 3})
		case "pin-16":
			rows = changed(rows, row{52, "b", 16, 0})
		case "fill-f":
			w.fill = 'F'
		case "right":
			w.varRight = true
		case "ascii":
			w.ascii = true
		default:
			return nil, w, fmt.Errorf("no knob %q", knob)
		}
	}
	return rows, w, nil
}

func changed(rows []row, by row) []row {
	out := append([]row{}, rows...)
	for i, r := range out {
		if r.Field == by.Field {
			out[i] = by
		}
	}
	return out
}

func specOf(rows []row, w wire) *iso8583.MessageSpec {
	digits := encoding.Encoder(encoding.BCD)
	if w.ascii {
		digits = encoding.ASCII
	}
	fields := map[int]field.Field{
		0: field.NewString(&field.Spec{Length: 4, Description: "MTI", Enc: digits, Pref: prefix.BCD.Fixed}),
		1: field.NewBitmap(&field.Spec{
			Length: 8, Description: "bitmap", Enc: encoding.Binary, Pref: prefix.Binary.Fixed, DisableAutoExpand: true,
		}),
	}
	for _, r := range rows {
		fields[r.Field] = fieldOf(r, w)
	}
	return &iso8583.MessageSpec{Name: "reference", Fields: fields}
}

func fieldOf(r row, w wire) field.Field {
	s := &field.Spec{Length: r.Max, Description: "field " + strconv.Itoa(r.Field), Pref: prefixOf(r.Prefix, w.ascii)}
	switch {
	case r.Type == "b":
		s.Enc = encoding.Binary
		return field.NewBinary(s)
	case r.Type == "ans": // any byte: remarks in GBK
		s.Enc = encoding.Binary
	case r.Type == "an" || w.ascii:
		s.Enc = encoding.ASCII
	case r.Type == "z" || (r.Prefix > 0 && w.fill != '0'):
		// moov's BCD has no nibble above 9, and its Hex and Track2 packers count bytes or take the filling nibble off by
		// its value, which may be data: so the packer for nibbles is ours.
		n := nibbles{fill: w.fill, right: w.varRight}
		s.Enc, s.Packer, s.Unpacker = encoding.Binary, n, n
	case (r.Prefix > 0 && !w.varRight) || w.left[r.Field]:
		s.Enc = encoding.LBCD
	default:
		s.Enc = encoding.BCD
	}
	return field.NewString(s)
}

func prefixOf(digits int, ascii bool) prefix.Prefixer {
	family := prefix.BCD
	if ascii {
		family = prefix.ASCII
	}
	return map[int]prefix.Prefixer{0: family.Fixed, 2: family.LL, 3: family.LLL}[digits]
}

// nibbles packs hexadecimal digits two a byte; the length prefix counts digits, without the one that fills up.
type nibbles struct {
	fill  byte
	right bool
}

func (n nibbles) Pack(value []byte, spec *field.Spec) ([]byte, error) {
	length, err := spec.Pref.EncodeLength(spec.Length, len(value))
	if err != nil {
		return nil, err
	}
	text := string(value)
	if len(value)%2 == 1 && n.right {
		text = "0" + text
	} else if len(value)%2 == 1 {
		text += string(n.fill)
	}
	packed, err := hex.DecodeString(text)
	return append(length, packed...), err
}

func (n nibbles) Unpack(data []byte, spec *field.Spec) ([]byte, int, error) {
	digits, read, err := spec.Pref.DecodeLength(spec.Length, data)
	if err != nil {
		return nil, 0, err
	}
	end := read + (digits+1)/2
	if end > len(data) {
		return nil, 0, errors.New("not enough data")
	}
	text := strings.ToUpper(hex.EncodeToString(data[read:end]))
	if n.right {
		return []byte(text[len(text)-digits:]), end, nil
	}
	return []byte(text[:digits]), end, nil
}

type request struct {
	Op, Dialect, Hex, MTI string
	Fields                map[string]string
}

type answer struct {
	Error  string            `json:"error,omitempty"`
	MTI    string            `json:"mti,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	Hex    string            `json:"hex,omitempty"`
	Rows   []row             `json:"rows,omitempty"`
}

func answered(line []byte) (answer, error) {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{}, err
	}
	rows, w, err := dialect(asked.Dialect)
	if err != nil {
		return answer{}, err
	}
	message, types := iso8583.NewMessage(specOf(rows, w)), typesOf(rows, w)
	switch asked.Op {
	case "decode":
		return decoded(message, types, asked)
	case "encode":
		return encoded(message, types, asked)
	case "spec":
		return answer{Rows: rows}, nil
	}
	return answer{}, fmt.Errorf("no operation %q", asked.Op)
}

// typesOf has "ans" for a track in ASCII, where the separator is a character like any other.
func typesOf(rows []row, w wire) map[int]string {
	types := map[int]string{}
	for _, r := range rows {
		types[r.Field] = r.Type
		if r.Type == "z" && w.ascii {
			types[r.Field] = "ans"
		}
	}
	return types
}

func decoded(message *iso8583.Message, types map[int]string, asked request) (answer, error) {
	data, err := hex.DecodeString(asked.Hex)
	if err != nil {
		return answer{}, err
	}
	if err := message.Unpack(data); err != nil {
		return answer{}, err
	}
	mti, err := message.GetMTI()
	if err != nil {
		return answer{}, err
	}
	out := answer{MTI: mti, Fields: map[string]string{}}
	for number, value := range message.GetFields() {
		if number < 2 {
			continue
		}
		raw, err := value.Bytes()
		if err != nil {
			return answer{}, err
		}
		out.Fields[strconv.Itoa(number)] = shown(raw, types[number])
	}
	packed, err := message.Pack()
	out.Hex = strings.ToUpper(hex.EncodeToString(packed))
	return out, err
}

func encoded(message *iso8583.Message, types map[int]string, asked request) (answer, error) {
	message.MTI(asked.MTI)
	for key, value := range asked.Fields {
		number, err := strconv.Atoi(key)
		if err != nil {
			return answer{}, err
		}
		raw, err := meant(value, types[number])
		if err != nil {
			return answer{}, fmt.Errorf("field %d: %w", number, err)
		}
		if err := message.BinaryField(number, raw); err != nil {
			return answer{}, err
		}
	}
	packed, err := message.Pack()
	return answer{Hex: strings.ToUpper(hex.EncodeToString(packed))}, err
}

// shown is a value as text: binary as hexadecimal, the separator of a track as "=", each byte of a text as the
// character with that number.
func shown(raw []byte, kind string) string {
	switch kind {
	case "b":
		return strings.ToUpper(hex.EncodeToString(raw))
	case "z":
		return strings.ReplaceAll(string(raw), "D", "=")
	}
	runes := make([]rune, len(raw))
	for i, b := range raw {
		runes[i] = rune(b)
	}
	return string(runes)
}

func meant(value, kind string) ([]byte, error) {
	switch kind {
	case "b":
		return hex.DecodeString(value)
	case "z":
		return []byte(strings.ReplaceAll(value, "=", "D")), nil
	}
	raw := make([]byte, 0, len(value))
	for _, r := range value {
		if r > 0xFF {
			return nil, errors.New("a character that is no byte")
		}
		raw = append(raw, byte(r))
	}
	return raw, nil
}

func main() {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		said, err := answered(in.Bytes())
		if err != nil {
			said = answer{Error: err.Error()}
		}
		if err := out.Encode(said); err != nil {
			os.Exit(1)
		}
	}
}
