package evaluate

import (
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// dayForm is one way to write a day.
type dayForm struct {
	name  string
	parse func(s string) (time.Time, bool)
}

// layouts makes a form of the layouts of package time; what follows the day
// (an hour, a zone) is left out.
func layouts(name string, list ...string) dayForm {
	return dayForm{name, func(s string) (time.Time, bool) {
		day := s
		if i := strings.IndexAny(day, "T "); i > 0 && day[0] >= '0' && day[0] <= '9' && strings.ContainsAny(day[:i], "-/.") {
			day = day[:i]
		}
		for _, l := range list {
			if t, err := time.Parse(l, day); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}}
}

// dayForms lists the ways a day may be written, the least ambiguous first.
func dayForms() []dayForm {
	return []dayForm{
		layouts("year-month-day", "2006-1-2", "2006/1/2", "2006.1.2", "2006-01-02Z07:00"),
		{"yyyymmdd", func(s string) (time.Time, bool) {
			s = strings.TrimSuffix(s, ".0")
			if i := strings.IndexAny(s, "T "); i == 8 {
				s = s[:8]
			}
			t, err := time.Parse("20060102", s)
			return t, err == nil
		}},
		{"Unix seconds or milliseconds", func(s string) (time.Time, bool) {
			x, err := strconv.ParseFloat(s, 64)
			switch {
			case err != nil || !(x >= 1e8 && x < 1e14):
				return time.Time{}, false
			case x >= 1e11:
				return time.UnixMilli(int64(x)).UTC(), true
			}
			return time.Unix(int64(x), 0).UTC(), true
		}},
		layouts("day.month.year", "2.1.2006", "2.1.06"),
		layouts("month/day/year", "1/2/2006", "1/2/06", "1-2-2006"),
		layouts("day/month/year", "2/1/2006", "2/1/06", "2-1-2006"),
		layouts("day and month's name", "2-Jan-2006", "2-Jan-06", "2 Jan 2006", "2 January 2006", "Jan 2, 2006", "January 2, 2006", "Jan 2 2006",
			time.RFC1123, time.RFC1123Z, time.RFC850, time.ANSIC, time.UnixDate, "2-Jan-2006 15:04:05", "2 Jan 2006 15:04:05"),
	}
}

// dayNumber counts days since 1970-01-01, by the date as written.
func dayNumber(t time.Time) int32 {
	y, m, d := t.Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// parseDay reads one date on its own.
func parseDay(s string) (int32, bool) {
	for _, f := range dayForms() {
		if t, ok := f.parse(strings.TrimSpace(s)); ok {
			return dayNumber(t), true
		}
	}
	return 0, false
}

// parseDays reads a column of dates in the one form that fits all of them. at
// tells where a date stands that no form can read.
func parseDays(texts []string, at func(i int) string) (days []int32, form string, err error) {
	farthest, worst := -1, 0
	for _, f := range dayForms() {
		days = days[:0]
		for i, s := range texts {
			t, ok := f.parse(s)
			if !ok {
				if i > farthest {
					farthest, worst = i, i
				}
				break
			}
			days = append(days, dayNumber(t))
		}
		if len(days) == len(texts) {
			return days, f.name, nil
		}
	}
	return nil, "", rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s: %q is not a date in the form of the rows before it", at(worst), texts[worst]),
		"write days as 2026-01-31, 20260131, 31.01.2026, 01/31/2026, or as Unix seconds")
}
