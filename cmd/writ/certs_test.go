package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCerts is `certs DIR`: an authority with a certificate for the daemon
// (server), and workloads of prod.example.com: ci, late (expired), two (two
// names), none (no name), test (another trust domain).
func scriptCerts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certs DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "authority of " + args[0]}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := writeCert(ts, dir+"/ca", ca, ca, nil)
	leaf := func(name string, ends time.Duration, change func(*x509.Certificate), uris ...string) {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ends),
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}
		for _, text := range uris {
			u, err := url.Parse(text)
			ts.Check(err)
			c.URIs = append(c.URIs, u)
		}
		if change != nil {
			change(c)
		}
		writeCert(ts, dir+"/"+name, c, ca, caKey)
	}
	leaf("server", time.Hour, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	leaf("ci", time.Hour, nil, "spiffe://prod.example.com/ci")
	leaf("late", -time.Minute, nil, "spiffe://prod.example.com/ci")
	leaf("two", time.Hour, nil, "spiffe://prod.example.com/ci", "spiffe://prod.example.com/other")
	leaf("none", time.Hour, nil)
	leaf("test", time.Hour, nil, "spiffe://test.example.com/ci")
}

func writeCert(ts *testscript.TestScript, base string, c, parent *x509.Certificate, by *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	if by == nil {
		by = key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(base+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600))
	ts.Check(os.WriteFile(base+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return key
}

// Handshakes and requests read the files while they are replaced.
func TestServerTLSHammer(t *testing.T) {
	dir := t.TempDir()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(dir+"/"+name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("key", "PRIVATE KEY", private)
	write("crt", "CERTIFICATE", raw)
	s, err := newServerTLS(&config{Home: dir, TLS: tlsSetting{Cert: "crt", Key: "key", ClientCA: "crt"}}, time.Now, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if c, err := s.listener().GetConfigForClient(nil); err != nil || len(c.Certificates) != 1 || s.roots() == nil {
					t.Errorf("%v, %v", c, err)
				}
			}
		})
	}
	all.Go(func() {
		for range 50 {
			write("crt", "CERTIFICATE", raw[:len(raw)-1]) // half written
			write("crt", "CERTIFICATE", raw)
		}
	})
	all.Wait()
}
