// Package spell finds what a misspelt name was meant to be. It only ever
// suggests: nothing is corrected silently.
package spell

import "github.com/agnivade/levenshtein"

// Nearest returns the candidate that takes the fewest edits from word, or ""
// when all of them would be a guess: more than a third of the word's letters,
// and more than two of them, are wrong.
func Nearest(word string, candidates []string) string {
	best, limit := "", max(2, len(word)/3)
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(word, c); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}
