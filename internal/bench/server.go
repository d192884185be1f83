package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// endpoint is a null S3 over TLS that somebody serves.
type endpoint struct {
	URL  string `json:"url"`
	Root []byte `json:"root"` // PEM of the certificate to trust
}

// receivedPath is where the server tells how many bytes it got since it was
// last asked.
const receivedPath = "/-/received"

// serveTLS serves sink over TLS on a port of its own until lifeline ends, and
// calls ready once it does.
func serveTLS(sink *nullS3, lifeline io.Reader, ready func(endpoint) error) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cert, root, err := newCertificate()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", sink)
	mux.HandleFunc(receivedPath, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, sink.received.Swap(0))
	})
	// S3 speaks HTTP/1.1 only.
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}}
	if err := ready(endpoint{URL: "https://" + listener.Addr().String(), Root: root}); err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, lifeline)
		server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newCertificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "s3writer bench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root, nil
}

// trust makes e's certificate the only root for every HTTP client of this
// process, so that each contestant can use the client it has by default. It can
// be called once in a process; go.mod's godebug passes over the system's roots.
func (e endpoint) trust() {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(e.Root)
	x509.SetFallbackRoots(pool)
}

// serverProcess is a null S3 in a process of its own, so that its CPU time and
// its memory are nobody's.
type serverProcess struct {
	endpoint
	cmd      *exec.Cmd
	lifeline io.Closer
	client   *http.Client
}

func startServer() (*serverProcess, error) {
	cmd, err := subprocess(task{Role: roleServer})
	if err != nil {
		return nil, err
	}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &serverProcess{cmd: cmd, lifeline: lifeline}
	if err := json.NewDecoder(out).Decode(&s.endpoint); err != nil {
		s.stop()
		return nil, fmt.Errorf("the server did not start: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.Root)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return s, nil
}

// received returns how many bytes of objects came since it was last called.
func (s *serverProcess) received() (int64, error) {
	res, err := s.client.Get(s.URL + receivedPath)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
}

func (s *serverProcess) stop() error {
	s.lifeline.Close()
	return s.cmd.Wait()
}
