package strictjson

import (
	"errors"
	"math"
	"time"
)

var (
	errNotNumber = errors.New("not a number")
	errNegative  = errors.New("negative number")
	errTooLarge  = errors.New("number too large")
)

// maxDate is the last second of the year 9999, the last that RFC 3339 can write.
const maxDate = 253402300799

// NumericDate returns the date that a number means as seconds since 1970-01-01
// (RFC 7519 section 2), rounded down to a second. Everything else is an error: other
// kinds, strings of digits too, negative numbers, and dates after the year 9999.
func (v Value) NumericDate() (time.Time, error) {
	if n, ok := v.plainInteger(); ok {
		return time.Unix(n, 0), nil
	}
	n, err := v.floor()
	switch {
	case err != nil:
		return time.Time{}, err
	case n < 0:
		return time.Time{}, errNegative
	case n > maxDate:
		return time.Time{}, errTooLarge
	}
	return time.Unix(n, 0), nil
}

// Int64 returns a number rounded down. ok is false for every other kind and for
// what an int64 cannot hold.
func (v Value) Int64() (n int64, ok bool) {
	n, err := v.floor()
	return n, err == nil
}

// plainInteger reads what nearly all dates are: ten digits, the first no zero.
func (v Value) plainInteger() (n int64, ok bool) {
	if len(v) != len("1700000000") || v[0] == '0' {
		return 0, false
	}
	for i := range len(v) {
		d := v[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// floor rounds a number down, by its decimal digits: a float64 loses them, and its
// conversion differs between processors when it overflows.
func (v Value) floor() (int64, error) {
	s := scanner{text: string(v)}
	if !v.IsNumber() || s.number() != nil || s.pos != len(v) {
		return 0, errNotNumber
	}
	rest := string(v)
	negative := rest[0] == '-'
	if negative {
		rest = rest[1:]
	}
	// before counts the digits that stand before the decimal point, once that
	// is moved by the exponent.
	var before, exponent int64
	digits, pointed := 0, false
	for digits < len(rest) && rest[digits] != 'e' && rest[digits] != 'E' {
		pointed = pointed || rest[digits] == '.'
		if !pointed {
			before++
		}
		digits++
	}
	if digits < len(rest) {
		exponent = shift(rest[digits+1:])
	}
	before += exponent

	var n uint64
	fraction, zero, place := false, true, int64(0)
	for _, c := range []byte(rest[:digits]) {
		if c == '.' {
			continue
		}
		place++
		d := uint64(c - '0')
		zero = zero && d == 0
		switch {
		case place > before:
			fraction = fraction || d != 0
		case n > (math.MaxUint64-9)/10:
			return 0, errTooLarge
		default:
			n = n*10 + d
		}
	}
	if zero {
		return 0, nil // also 0e999999999
	}
	for ; place < before && n > 0; place++ {
		if n > math.MaxUint64/10 {
			return 0, errTooLarge
		}
		n *= 10
	}
	if !negative {
		if n > math.MaxInt64 {
			return 0, errTooLarge
		}
		return int64(n), nil
	}
	if fraction {
		n++ // cannot wrap: the digits before it left room
	}
	if n > -math.MinInt64 {
		return 0, errTooLarge
	}
	return -int64(n), nil // right for 1<<63 too, which is its own negative
}

// shift reads an exponent. What is out of reach is only kept large.
func shift(b string) (n int64) {
	const far = 1 << 40 // more than any text has digits
	negative := b[0] == '-'
	for _, c := range []byte(b) {
		if c == '-' || c == '+' {
			continue
		}
		n = min(n*10+int64(c-'0'), far)
	}
	if negative {
		return -n
	}
	return n
}
