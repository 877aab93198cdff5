//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"go.yaml.in/yaml/v3"
)

// logOrigin is the name in the log's checkpoints. It need not resolve.
const logOrigin = "rekor.local"

// stack is a Sigstore of processes on loopback.
type stack struct {
	dir, bin string
	issuer   *issuer
	logKey   *ecdsa.PrivateKey
	started  []*exec.Cmd

	fulcio, stamps, log string // URLs
}

// start brings it up, or leaves nothing behind.
func start(ctx context.Context, dir, bin string) (*stack, error) {
	s := &stack{dir: dir, bin: bin}
	var err error
	if s.issuer, err = newIssuer(); err != nil {
		return nil, err
	}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *stack) run(ctx context.Context) error {
	ports, err := freePorts(7)
	if err != nil {
		return err
	}
	if err := s.writeFiles(); err != nil {
		return err
	}
	at := func(i int) string { return "http://127.0.0.1:" + ports[i] }
	s.fulcio, s.stamps, s.log = at(0), at(1), at(2)
	for _, args := range [][]string{
		{
			"fulcio", "serve", "--ca", "ephemeralca", "--ct-log-url", "", "--host", "127.0.0.1", "--port", ports[0],
			"--grpc-host", "127.0.0.1", "--grpc-port", ports[3], "--metrics-port", ports[4],
			"--config-path", s.path("fulcio.yaml"), "--legacy-unix-domain-socket", s.path("fulcio.sock"),
		},
		{"timestamp-server", "serve", "--host", "127.0.0.1", "--port", ports[1], "--timestamp-signer", "memory", "--disable-ntp-monitoring"},
		{
			"rekor-server-posix", "serve", "--http-address", "127.0.0.1", "--http-port", ports[2], "--grpc-address", "127.0.0.1", "--grpc-port", ports[5],
			"--http-metrics-port", ports[6], "--hostname", logOrigin, "--storage-dir", s.path("log"), "--signer-filepath", s.path("log.pem"),
			"--checkpoint-interval", "1s",
		},
	} {
		if err := s.process(args); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, url := range []string{s.fulcio + "/healthz", s.stamps + "/ping", s.log + "/healthz"} {
		if err := ready(ctx, url); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stack) process(args []string) error {
	output, err := os.Create(s.path(args[0] + ".log"))
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the process has its own
	cmd := exec.Command(filepath.Join(s.bin, args[0]), args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // they never outlive this program
	if err := cmd.Start(); err != nil {
		return err
	}
	s.started = append(s.started, cmd)
	return nil
}

// stop ends what was started, each by itself.
func (s *stack) stop() error {
	var failed []error
	for _, cmd := range s.started {
		failed = append(failed, cmd.Process.Signal(syscall.SIGTERM))
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // ended by a signal
		if !timer.Stop() {
			failed = append(failed, fmt.Errorf("%s had to be killed", filepath.Base(cmd.Path)))
		}
	}
	return errors.Join(append(failed, s.issuer.server.Close())...)
}

func (s *stack) writeFiles() error {
	var err error
	if s.logKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.logKey)
	if err != nil {
		return err
	}
	// What a workflow's certificate says comes from the token's claims.
	config := map[string]any{
		"oidc-issuers": map[string]any{
			s.issuer.url + "/people": map[string]any{"issuer-url": s.issuer.url + "/people", "client-id": "sigstore", "type": "email"},
			s.issuer.url + "/ci":     map[string]any{"issuer-url": s.issuer.url + "/ci", "client-id": "sigstore", "type": "ci-provider", "ci-provider": "ci"},
		},
		"ci-issuer-metadata": map[string]any{"ci": map[string]any{
			"default-template-values": map[string]any{"url": "https://github.com"},
			"extension-templates": map[string]any{
				"build-signer-uri":      "{{ .url }}/{{ .job_workflow_ref }}",
				"runner-environment":    "runner_environment",
				"source-repository-uri": "{{ .url }}/{{ .repository }}",
				"source-repository-ref": "ref", "source-repository-digest": "sha",
			},
			"subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
		}},
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(s.path("log"), 0o700),
		os.WriteFile(s.path("log.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(s.path("fulcio.yaml"), text, 0o600),
	)
}

// freePorts asks the system for ports that nobody has.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all of them are held until each has one
		out = append(out, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return out, nil
}

func ready(ctx context.Context, url string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := fetch(ctx, url); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready: %w", url, ctx.Err())
		case <-tick.C:
		}
	}
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(url + ": " + res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 1<<20))
}

// trustedRoot asks the services for their certificates and writes down who counts.
func (s *stack) trustedRoot(ctx context.Context) ([]byte, error) {
	raw, err := fetch(ctx, s.fulcio+"/api/v2/trustBundle")
	if err != nil {
		return nil, err
	}
	var bundle struct {
		Chains []struct {
			Certificates []string `json:"certificates"`
		} `json:"chains"`
	}
	if err := json.Unmarshal(raw, &bundle); err != nil || len(bundle.Chains) == 0 {
		return nil, fmt.Errorf("fulcio's trust bundle: %w", err)
	}
	var fulcio []byte
	for _, c := range bundle.Chains[0].Certificates {
		fulcio = append(fulcio, c+"\n"...)
	}
	issuers, err := certificates(fulcio)
	if err != nil {
		return nil, err
	}
	if raw, err = fetch(ctx, s.stamps+"/api/v1/timestamp/certchain"); err != nil {
		return nil, err
	}
	stampers, err := certificates(raw)
	if err != nil {
		return nil, err
	}
	_, id, err := note.KeyHash(logOrigin, s.logKey.Public())
	if err != nil {
		return nil, err
	}
	began, last := time.Now().Add(-time.Hour), len(stampers)-1
	log := &root.TransparencyLog{
		BaseURL: "http://" + logOrigin, ID: id, ValidityPeriodStart: began, HashFunc: 0x05, PublicKey: s.logKey.Public(), SignatureHashFunc: 0x05,
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{
			Root: issuers[len(issuers)-1], Intermediates: issuers[:len(issuers)-1], ValidityPeriodStart: began, URI: s.fulcio,
		}}, nil,
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{
			Leaf: stampers[0], Intermediates: stampers[1:last], Root: stampers[last], ValidityPeriodStart: began, URI: s.stamps,
		}},
		map[string]*root.TransparencyLog{fmt.Sprintf("%x", id): log})
	if err != nil {
		return nil, err
	}
	return trusted.MarshalJSON()
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return out, nil
}
