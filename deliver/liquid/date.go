package liquid

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// date shows a time by a strftime format. What is no time stays as it is.
func date(c *call) (any, error) {
	format := c.text(0)
	t, ok := c.r.time(c.in)
	if !ok || format == "" {
		return c.in, nil
	}
	return strftime(t, format), nil
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05",
	"2006-01-02 15:04", "2006-01-02", "2006/01/02", "January 2, 2006", "Jan 2, 2006", "2 January 2006", "2 Jan 2006", "January 2006", "Jan 2006",
	time.RFC1123Z, time.RFC1123, time.ANSIC, "Mon Jan 2 15:04:05 -0700 2006",
}

// time reads a time from a value: a time, seconds since 1970, or a text.
func (r *renderer) time(v any) (time.Time, bool) {
	switch x := v.(type) {
	case time.Time:
		return x.In(r.o.Zone), true
	case int64:
		return time.Unix(x, 0).In(r.o.Zone), true
	case float64:
		return time.UnixMilli(int64(x * 1000)).In(r.o.Zone), true
	case string:
		s := strings.TrimSpace(x)
		if word := strings.ToLower(s); word == "now" || word == "today" {
			return r.o.Now.In(r.o.Zone), !r.o.Now.IsZero()
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return time.Unix(n, 0).In(r.o.Zone), true
		}
		for _, layout := range layouts {
			if t, err := time.ParseInLocation(layout, s, r.o.Zone); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// strftime formats a time as C does, with Ruby's flags - 0 ^ _ and widths.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		start := i
		i++
		var flag byte
		upper := false
		for ; i < len(format) && strings.IndexByte("-0^_:#", format[i]) >= 0; i++ {
			if format[i] == '^' {
				upper = true
			} else {
				flag = format[i]
			}
		}
		width := 0
		for ; i < len(format) && format[i] >= '0' && format[i] <= '9' && width < 100; i++ {
			width = width*10 + int(format[i]-'0')
		}
		if i == len(format) {
			b.WriteString(format[start:])
			break
		}
		s, ok := directive(t, format[i], flag, width)
		if !ok {
			s = format[start : i+1]
		}
		if upper {
			s = strings.ToUpper(s)
		}
		b.WriteString(s)
	}
	return b.String()
}

// padded shows a number in its usual width.
func padded(n, usual int, pad byte, flag byte, width int) string {
	if width > 0 {
		usual = width
	}
	s := strconv.Itoa(n)
	switch flag {
	case '-':
		return s
	case '_':
		pad = ' '
	case '0':
		pad = '0'
	}
	if len(s) < usual {
		s = strings.Repeat(string(pad), usual-len(s)) + s
	}
	return s
}

func directive(t time.Time, c, flag byte, width int) (string, bool) {
	number := func(n, usual int, pad byte) (string, bool) { return padded(n, usual, pad, flag, width), true }
	hour12 := (t.Hour()+11)%12 + 1
	switch c {
	case 'Y':
		return number(t.Year(), 1, '0')
	case 'C':
		return number(t.Year()/100, 2, '0')
	case 'y':
		return number(t.Year()%100, 2, '0')
	case 'm':
		return number(int(t.Month()), 2, '0')
	case 'd':
		return number(t.Day(), 2, '0')
	case 'e':
		return number(t.Day(), 2, ' ')
	case 'j':
		return number(t.YearDay(), 3, '0')
	case 'H':
		return number(t.Hour(), 2, '0')
	case 'k':
		return number(t.Hour(), 2, ' ')
	case 'I':
		return number(hour12, 2, '0')
	case 'l':
		return number(hour12, 2, ' ')
	case 'M':
		return number(t.Minute(), 2, '0')
	case 'S':
		return number(t.Second(), 2, '0')
	case 'L':
		return fmt.Sprintf("%03d", t.Nanosecond()/1e6), true
	case 'N':
		return fmt.Sprintf("%09d", t.Nanosecond()), true
	case 's':
		return strconv.FormatInt(t.Unix(), 10), true
	case 'u':
		return number((int(t.Weekday())+6)%7+1, 1, '0')
	case 'w':
		return number(int(t.Weekday()), 1, '0')
	case 'U':
		return number((t.YearDay()+6-int(t.Weekday()))/7, 2, '0')
	case 'W':
		return number((t.YearDay()+6-(int(t.Weekday())+6)%7)/7, 2, '0')
	case 'V':
		_, week := t.ISOWeek()
		return number(week, 2, '0')
	case 'G':
		year, _ := t.ISOWeek()
		return number(year, 1, '0')
	case 'z':
		if flag == ':' {
			return t.Format("-07:00"), true
		}
		return t.Format("-0700"), true
	case 'p':
		return t.Format("PM"), true
	case 'P':
		return t.Format("pm"), true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case '%':
		return "%", true
	}
	layout, ok := map[byte]string{
		'A': "Monday", 'a': "Mon", 'B': "January", 'b': "Jan", 'h': "Jan", 'Z': "MST", 'F': "2006-01-02", 'T': "15:04:05", 'X': "15:04:05",
		'R': "15:04", 'D': "01/02/06", 'x': "01/02/06", 'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006", 'v': "_2-JAN-2006", '+': "Mon Jan _2 15:04:05 MST 2006",
	}[c]
	return t.Format(layout), ok
}
