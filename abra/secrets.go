package abra

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
)

// What a generated secret is made of. The names are abra's.
const (
	lettersAndDigits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	hexDigits        = "0123456789abcdef"
	special          = "~!@#$%^&*()_+`-={}|[]\\:\"<>?,./"
	safeSpecial      = "!@#%^&*_-+="
)

var charsets = map[string]string{
	"default": lettersAndDigits, "alnum": lettersAndDigits, "special": special, "safespecial": safeSpecial, "hex": hexDigits,
}

// defaultLength is how long a secret is whose line says nothing; maxLength
// bounds what it may ask for. Both in characters.
const (
	defaultLength = 32
	maxLength     = 4096
)

// secretMaker is how a secret is to be made, by the modifiers of its line.
type secretMaker struct {
	length   int
	alphabet string
}

// newSecretMaker reads the modifiers length= and charset=. It is lenient: what
// it doesn't know is left at the default and told in warnings.
func newSecretMaker(modifiers map[string]string) (m secretMaker, warnings []string) {
	m = secretMaker{defaultLength, lettersAndDigits}
	if text, ok := modifiers["length"]; ok {
		length, err := strconv.Atoi(text)
		if err != nil || length < 1 || length > maxLength {
			warnings = append(warnings, fmt.Sprintf("length=%s isn't a number from 1 to %d; the secret gets %d characters", text, maxLength, defaultLength))
		} else {
			m.length = length
		}
	}
	names, ok := modifiers["charset"]
	if !ok {
		return m, warnings
	}
	var alphabet string
	for name := range strings.SplitSeq(names, ",") {
		set, ok := charsets[name]
		if !ok {
			warnings = append(warnings, fmt.Sprintf("charset=%s isn't known (default, special, safespecial, hex); the secret gets letters and digits", name))
			set = lettersAndDigits
		}
		for _, c := range set {
			if !strings.ContainsRune(alphabet, c) {
				alphabet += string(c)
			}
		}
	}
	m.alphabet = alphabet
	return m, warnings
}

// make makes a value, every character of the alphabet equally likely.
func (m secretMaker) make(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	size := big.NewInt(int64(len(m.alphabet)))
	value := make([]byte, m.length)
	for i := range value {
		n, err := rand.Int(random, size)
		if err != nil {
			return "", fmt.Errorf("generate secret: %w", err)
		}
		value[i] = m.alphabet[n.Int64()]
	}
	return string(value), nil
}
