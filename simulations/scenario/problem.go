package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is something that is wrong with a scenario.
type Problem struct {
	File string // or where else it was said
	Line int    // from 1, 0 if it is not known
	Key  string // with its tables, such as "network.loss"; "" if it is none
	Text string
}

// Error tells file, line, key, and what is wrong.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all that is wrong with a scenario, in the order of its lines.
type Problems []*Problem

// Error tells all of them, one a line.
func (all Problems) Error() string {
	lines := make([]string, len(all))
	for i, p := range all {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// err returns the problems as an error, nil if there is none.
func (all Problems) err() error {
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all
}

// Nearest returns the word that was most likely meant by another, "" if none
// is near enough to say so.
func Nearest(word string, words []string) string {
	best, least := "", len(word)/2+1
	for _, w := range words {
		if len(word) > 2 && strings.Contains(w, strings.ToLower(word)) {
			return w
		}
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance returns how many letters are to be inserted, deleted, replaced, or
// swapped with the next one to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// meant returns the end of a sentence that names the word that was meant.
func meant(word string, words []string) string {
	if n := Nearest(word, words); n != "" {
		return fmt.Sprintf("; did you mean %s?", n)
	}
	return "; known are " + strings.Join(words, ", ")
}
