package executor

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// slugLetters is how much of the recipe's name a slug shows. Short slugs keep
// the stack's names inside Docker's 63 and 64 characters.
const slugLetters = 4

var slugCode = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Slug names a job's deployment: up to four letters of the recipe, a hyphen and
// six base32 characters that follow from runner, task and salt. The same task
// on the same runner has the same slug, so that a restart finds its objects;
// salt tells local runs apart, which all have the task "local".
func Slug(recipe, runner, task, salt string) string {
	sum := sha256.Sum256([]byte(runner + "\x00" + task + "\x00" + salt))
	return slugPrefix(recipe) + "-" + slugCode.EncodeToString(sum[:])[:6]
}

func slugPrefix(recipe string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(recipe) {
		if (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') {
			b.WriteRune(c)
		}
		if b.Len() == slugLetters {
			break
		}
	}
	if b.Len() == 0 {
		return "app"
	}
	return b.String()
}
