package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// certificate is a wildcard certificate and the authority that has issued it,
// made for one run. The authority's key is not kept.
type certificate struct {
	CA   string // path, PEM
	Cert string // path, PEM
	Key  string // path, PEM

	// Fingerprint is the certificate's SHA-256, in lower-case hex.
	Fingerprint string
}

// makeCertificate writes a new certificate for *.domain into dir.
func makeCertificate(dir, domain string) (certificate, error) {
	c := certificate{
		CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, err
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "cc-ci lab, throw-away authority"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: "*." + domain},
		DNSNames:     []string{"*." + domain, domain},
		NotBefore:    authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leafKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		return c, err
	}
	authorityDER, err1 := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	leafDER, err2 := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(leafKey)
	if err := errors.Join(err1, err2, err3); err != nil {
		return c, err
	}
	sum := sha256.Sum256(leafDER)
	c.Fingerprint = hex.EncodeToString(sum[:])
	return c, errors.Join(
		writePEM(c.CA, "CERTIFICATE", authorityDER, 0o644),
		writePEM(c.Cert, "CERTIFICATE", leafDER, 0o644),
		writePEM(c.Key, "PRIVATE KEY", keyDER, 0o600),
	)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
