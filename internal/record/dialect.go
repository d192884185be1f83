package record

// Ragged decides what becomes of a row with too few or too many fields.
type Ragged uint8

// What a ragged row does.
const (
	RaggedError   Ragged = iota // it is a bad row
	RaggedPad                   // too few: NULLs are added; too many: bad
	RaggedTrim                  // too many: the last ones go; too few: bad
	RaggedPadTrim               // both
)

// Dialect is how CSV is read and written. The zero Dialect is RFC 4180: see
// the package s3writer's CSV, whose fields these are.
type Dialect struct {
	Comma, Quote, Escape byte
	NoQuote              bool
	NoHeader             bool
	CRLF                 bool
	BOM                  bool
	QuoteAll             bool
	LazyQuotes           bool
	NullAsEmpty          bool
	Comment              byte
	Null                 string
	Ragged               Ragged
	SkipLines            int
	MaxRow               int
}
