package zmap

// Error is a mistake of the caller. Its text is a whole reply, code included.
type Error struct{ text string }

// Error is the full text of the reply.
func (e *Error) Error() string { return e.text }

// Is makes errors comparable by their text.
func (e *Error) Is(target error) bool {
	o, ok := target.(*Error)
	return ok && o.text == e.text
}

// The caller's errors.
var (
	// ErrKeyTooLarge: a key has more than KeyBytes.
	ErrKeyTooLarge = &Error{"KEY_TOO_LARGE Key length exceeds limit"}
	// ErrValueTooLarge: a value or operand has more than ValueBytes.
	ErrValueTooLarge = &Error{"VALUE_TOO_LARGE Value length exceeds limit"}
	// ErrInvertedRange: the end of a range to delete lies before its begin.
	ErrInvertedRange = &Error{"INVERTED_RANGE Range begin key larger than end key"}
	// ErrVersionstampOffset: the parameter of a versionstamped mutation does not
	// end with an offset of ten bytes inside of it.
	ErrVersionstampOffset = &Error{"CLIENT_INVALID_OPERATION Invalid API call"}
	// ErrNotInteger: not a 64-bit integer.
	ErrNotInteger = &Error{"ERR value is not a long or out of range"}
	// ErrNotDouble: not a number.
	ErrNotDouble = &Error{"ERR value is not a double or out of range"}
	// ErrNotFinite: NaN or an infinity to be stored.
	ErrNotFinite = &Error{"ERR Invalid value: must be a finite IEEE-754 double"}
	// ErrDeltaNotFinite: NaN or an infinity to be added.
	ErrDeltaNotFinite = &Error{"ERR Invalid delta: value must be a finite IEEE-754 double"}
	// ErrSumNotFinite: the sum is not finite.
	ErrSumNotFinite = &Error{"ERR Resulting value is not a finite IEEE-754 double (overflow or invalid operation)"}
	// ErrNotDecimal: not a decimal number.
	ErrNotDecimal = &Error{"ERR invalid decimal"}
	// ErrStoredInteger: the stored value does not have the length of an int64.
	ErrStoredInteger = &Error{"ERR Invalid stored value: expected 8-byte two's-complement int64"}
	// ErrStoredDouble: the stored value does not have the length of a float64.
	ErrStoredDouble = &Error{"ERR Invalid stored value: expected 8-byte IEEE-754 double"}
	// ErrStoredDecimal: the stored value does not have the length of a decimal128.
	ErrStoredDecimal = &Error{"ERR Invalid stored value: expected 16-byte Decimal128 (IEEE-754 BID)"}
	// ErrStoredDecimalSpecial: the stored decimal is NaN or an infinity.
	ErrStoredDecimalSpecial = &Error{"ERR Invalid stored value: Decimal128 is not representable as BigDecimal"}
)

// decimalRange is the error of a decimal whose exponent does not fit.
func decimalRange(text string) *Error {
	return &Error{"ERR Exponent is out of range for Decimal128 encoding of " + text}
}
