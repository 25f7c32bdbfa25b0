package segmentwire

import (
	"strconv"
)

// ParseTime reads the times clients write, as Unix milliseconds: RFC 3339 and
// its near relatives (a space for the T, no zone for UTC, a zone without a
// colon, a comma before the fraction, a date alone), or a number since 1970.
func ParseTime(b []byte) (ms int64, ok bool) {
	if len(b) < 10 || b[4] != '-' {
		return parseEpoch(b)
	}
	year, ok1 := digits(b[0:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	if !ok1 || !ok2 || !ok3 || b[7] != '-' || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	ms = days(year, month, day) * 86_400_000
	b = b[10:]
	if len(b) == 0 {
		return ms, true
	}
	if len(b) < 6 || (b[0] != 'T' && b[0] != 't' && b[0] != ' ') || b[3] != ':' {
		return 0, false
	}
	hour, ok1 := digits(b[1:3])
	minute, ok2 := digits(b[4:6])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	ms += int64(hour)*3_600_000 + int64(minute)*60_000
	b = b[6:]
	if len(b) >= 3 && b[0] == ':' {
		second, ok := digits(b[1:3])
		if !ok || second > 60 {
			return 0, false
		}
		ms += int64(min(second, 59)) * 1000
		b = b[3:]
		if len(b) > 1 && (b[0] == '.' || b[0] == ',') {
			i, unit := 1, int64(100)
			for ; i < len(b) && b[i]-'0' <= 9; i++ {
				ms += int64(b[i]-'0') * unit
				unit /= 10
			}
			if i == 1 {
				return 0, false
			}
			b = b[i:]
		}
	}
	return zone(ms, b)
}

// zone takes the offset written in b from local milliseconds.
func zone(ms int64, b []byte) (int64, bool) {
	if len(b) > 1 && b[0] == ' ' {
		b = b[1:]
	}
	if len(b) == 0 || (len(b) == 1 && (b[0] == 'Z' || b[0] == 'z')) {
		return ms, true
	}
	if b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	sign, b := b[0], b[1:]
	minute, ok := 0, true
	switch {
	case len(b) == 5 && b[2] == ':':
		minute, ok = digits(b[3:5])
	case len(b) == 4:
		minute, ok = digits(b[2:4])
	case len(b) != 2:
		return 0, false
	}
	hour, ok1 := digits(b[0:2])
	if !ok || !ok1 || hour > 23 || minute > 59 {
		return 0, false
	}
	offset := int64(hour)*3_600_000 + int64(minute)*60_000
	if sign == '-' {
		offset = -offset
	}
	return ms - offset, true
}

func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days counts from 1970-01-01 in the proleptic Gregorian calendar, with years
// that begin in March so that the leap day comes last.
func days(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400 // a year here is never negative
	if year < 0 {
		era = -1
	}
	inEra := year - era*400
	inYear := (153*(month-3)+2)/5 + day - 1
	return int64(era)*146_097 + int64(inEra*365+inEra/4-inEra/100+inYear) - 719_468
}

// parseEpoch reads a number of seconds, milliseconds, microseconds or
// nanoseconds since 1970; its size says which.
func parseEpoch(b []byte) (ms int64, ok bool) {
	if len(b) == 0 || len(b) > 32 {
		return 0, false
	}
	for _, c := range b {
		if c-'0' > 9 && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(alias(b), 64)
	if err != nil {
		return 0, false
	}
	switch a := max(f, -f); {
	case a < 1e11:
		f *= 1e3
	case a < 1e14:
	case a < 1e17:
		f /= 1e3
	case a < 1e20:
		f /= 1e6
	default:
		return 0, false
	}
	return int64(f), true
}

// correct returns when an event happened by the server's clock and by the
// client's. The client's clock cancels out where the client says when it sent.
// What then still lies after the receipt is for [finisher.ahead].
func correct(received, sent, original, timestamp int64) (corrected, said int64) {
	if said = original; said == 0 {
		said = timestamp
	}
	if said == 0 {
		if said = sent; said == 0 {
			said = received
		}
	}
	corrected = said
	if sent != 0 {
		corrected = received - (sent - said)
	}
	if corrected < 0 {
		corrected = received
	}
	return corrected, said
}
