package condition

import "time"

// parseTime reads an ISO 8601 date, or date and time, as Unix seconds. Without
// a zone it is UTC. It does not allocate.
func parseTime(s []byte) (float64, bool) {
	year, ok1 := number(s, 0, 4)
	month, ok2 := number(s, 5, 2)
	day, ok3 := number(s, 8, 2)
	if !ok1 || !ok2 || !ok3 || s[4] != '-' || s[7] != '-' || month < 1 || month > 12 || day < 1 {
		return 0, false
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if date.Day() != day {
		return 0, false
	}
	unix := float64(date.Unix())
	if len(s) == 10 {
		return unix, true
	}
	hour, ok1 := number(s, 11, 2)
	minute, ok2 := number(s, 14, 2)
	if !ok1 || !ok2 || (s[10] != 'T' && s[10] != ' ' && s[10] != 't') || s[13] != ':' || hour > 24 || minute > 59 {
		return 0, false
	}
	unix += float64(hour*3600 + minute*60)
	rest := s[16:]
	if len(rest) > 0 && rest[0] == ':' {
		second, ok := number(rest, 1, 2)
		if !ok || second > 60 {
			return 0, false
		}
		unix += float64(second)
		rest = rest[3:]
		if len(rest) > 0 && rest[0] == '.' {
			scale := 0.1
			rest = rest[1:]
			for len(rest) > 0 && isDigit(rest[0]) {
				unix += float64(rest[0]-'0') * scale
				scale /= 10
				rest = rest[1:]
			}
		}
	}
	return zone(unix, rest)
}

// zone takes the offset at the end of a time off.
func zone(unix float64, s []byte) (float64, bool) {
	if len(s) == 0 || (len(s) == 1 && s[0]|0x20 == 'z') {
		return unix, true
	}
	hours, ok := number(s, 1, 2)
	if !ok || (s[0] != '+' && s[0] != '-') || hours > 14 {
		return 0, false
	}
	minutes := 0
	if rest := s[3:]; len(rest) > 0 {
		if rest[0] == ':' {
			rest = rest[1:]
		}
		if minutes, ok = number(rest, 0, 2); !ok || len(rest) != 2 || minutes > 59 {
			return 0, false
		}
	}
	offset := float64(hours*3600 + minutes*60)
	if s[0] == '+' {
		offset = -offset
	}
	return unix + offset, true
}

// number reads n digits of s from position at.
func number(s []byte, at, n int) (v int, ok bool) {
	if len(s) < at+n {
		return 0, false
	}
	for _, c := range s[at : at+n] {
		if !isDigit(c) {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// nowPart returns a part of the time of evaluation. Weekdays count from Monday, 1, to Sunday, 7.
func nowPart(t time.Time, part string) float64 {
	switch part {
	case "hour":
		return float64(t.Hour())
	case "minute":
		return float64(t.Minute())
	case "weekday":
		return float64((int(t.Weekday())+6)%7 + 1)
	case "day":
		return float64(t.Day())
	case "month":
		return float64(t.Month())
	case "year":
		return float64(t.Year())
	}
	return float64(t.UnixMilli()) / 1000
}
