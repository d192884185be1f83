package main

import (
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
	"time"
)

// endpoint is a null S3 that somebody serves.
type endpoint struct {
	URL  string `json:"url"`
	Root []byte `json:"root"` // PEM of the certificate to trust; not over http
}

// service is a null S3 on a port of its own.
type service struct {
	sink *nullS3
	tls  bool
	rate float64 // bytes a second that one connection takes; 0 for all it can
}

// newServices returns what the server process serves.
func newServices() map[sinkKind]*service {
	return map[sinkKind]*service{
		sinkTLS:     {sink: new(nullS3), tls: true},
		sinkHTTP:    {sink: new(nullS3)},
		sinkDistant: {sink: &nullS3{delay: distantDelay}, tls: true, rate: distantRate},
		sinkStorm:   {sink: &nullS3{delay: distantDelay, storm: &storm{lasts: stormLasts, rate: stormRate}}, tls: true, rate: distantRate},
	}
}

// account is what a null S3 has seen since it was last asked.
type account struct {
	Bytes   int64 `json:"bytes"`   // of objects
	Refused int64 `json:"refused"` // requests
}

// accountPath is where a service gives its account and begins a new one.
const accountPath = "/-/account"

// serve serves the services until lifeline ends, and calls ready once it does.
func serve(services map[sinkKind]*service, lifeline io.Reader, ready func(map[sinkKind]endpoint) error) error {
	cert, root, err := newCertificate()
	if err != nil {
		return err
	}
	endpoints := make(map[sinkKind]endpoint)
	done := make(chan error, len(services))
	var servers []*http.Server
	end := func() {
		for _, server := range servers {
			server.Close()
		}
	}
	for kind, s := range services {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			end()
			return err
		}
		endpoints[kind] = s.endpoint(listener, root)
		server := s.server(cert)
		servers = append(servers, server)
		go func() { done <- s.serve(server, listener) }()
	}
	if err := ready(endpoints); err != nil {
		end()
		return err
	}
	go func() {
		io.Copy(io.Discard, lifeline)
		end()
	}()
	var errs []error
	for range services {
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
			end()
		}
	}
	return errors.Join(errs...)
}

func (s *service) endpoint(listener net.Listener, root []byte) endpoint {
	if s.tls {
		return endpoint{URL: "https://" + listener.Addr().String(), Root: root}
	}
	return endpoint{URL: "http://" + listener.Addr().String()}
}

func (s *service) server(cert tls.Certificate) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/", s.sink)
	mux.HandleFunc(accountPath, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(s.sink.account())
	})
	// S3 speaks HTTP/1.1 only.
	return &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}}
}

func (s *service) serve(server *http.Server, listener net.Listener) error {
	if s.rate > 0 {
		listener = &pacedListener{Listener: listener, rate: s.rate}
	}
	if s.tls {
		return server.ServeTLS(listener, "", "")
	}
	return server.Serve(listener)
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
// All services have the same certificate.
func (e endpoint) trust() {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(e.Root)
	x509.SetFallbackRoots(pool)
}

// serverProcess is the services in a process of their own, so that their CPU
// time and memory are nobody's.
type serverProcess struct {
	endpoints map[sinkKind]endpoint
	cmd       *exec.Cmd
	lifeline  io.Closer
	client    *http.Client
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
	if err := json.NewDecoder(out).Decode(&s.endpoints); err != nil {
		s.stop()
		return nil, fmt.Errorf("the server did not start: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.endpoints[sinkTLS].Root)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return s, nil
}

// account returns what a service has seen since it was last asked.
func (s *serverProcess) account(kind sinkKind) (a account, err error) {
	res, err := s.client.Get(s.endpoints[kind].URL + accountPath)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	return a, json.NewDecoder(res.Body).Decode(&a)
}

func (s *serverProcess) stop() error {
	s.lifeline.Close()
	return s.cmd.Wait()
}
