package servers

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// MinIO starts a MinIO. Its STS is at the same endpoint: AssumeRole gives the caller's own rights whatever the
// role, and looks at no external ID.
func MinIO(t testing.TB) *Server { return minIO(t, nil) }

// MinIOTLS is [MinIO] over https, which it asks for where clients bring keys of their own (SSE-C).
func MinIOTLS(t testing.TB) *Server { return minIO(t, newCertificate(t)) }

// KMSKey is the ID of MinIO's only key for SSE-KMS.
const KMSKey = "e2e"

func minIO(t testing.TB, cert *certificate) *Server {
	t.Helper()
	binary, mc := Binary(t, "minio"), Binary(t, "mc")
	dir := t.TempDir()
	s := &Server{Region: "eu-west-1"}
	scheme, certs := "http://", filepath.Join(dir, "certs")
	client := minioClient{binary: mc, config: filepath.Join(dir, "mc")}
	if cert != nil {
		s.CA, s.CAFile = cert.pool, cert.caFile
		scheme, certs = "https://", filepath.Dir(cert.certFile)
		client.trust(t, cert)
	}
	addr := start(t, s.HTTPClient(), func(addr string) (*exec.Cmd, string) {
		cmd := exec.Command(binary, "server", "--quiet", "--address", addr,
			"--certs-dir", certs, filepath.Join(dir, "data"))
		cmd.Env = append(minioFreeEnviron(),
			"MINIO_ROOT_USER="+root.AccessKeyID, "MINIO_ROOT_PASSWORD="+root.SecretAccessKey,
			"MINIO_REGION="+s.Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
			// Without a key of its own every request for encryption is answered with 501.
			"MINIO_KMS_SECRET_KEY="+KMSKey+":"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
		return cmd, scheme + addr + "/minio/health/live"
	})
	s.Endpoint = scheme + addr
	client.host = scheme + root.AccessKeyID + ":" + root.SecretAccessKey + "@" + addr
	s.addUser = func(t testing.TB, name, policy string) Keys { return client.addUser(t, name, policy) }
	s.removeUser = func(t testing.TB, name string) { client.run(t, "admin", "user", "remove", "e2e", name) }
	return s
}

// minioFreeEnviron is the environment without what would configure MinIO.
func minioFreeEnviron() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MINIO_") && !strings.HasPrefix(v, "MC_") {
			env = append(env, v)
		}
	}
	return env
}

// minioClient runs mc, MinIO's command: its library for administration is under another licence than ours.
type minioClient struct{ binary, config, host string }

// trust puts the certificate's authority where mc looks for those it trusts.
func (c minioClient) trust(t testing.TB, cert *certificate) {
	t.Helper()
	authorities := filepath.Join(c.config, "certs", "CAs")
	if err := os.MkdirAll(authorities, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(cert.caFile, filepath.Join(authorities, "authority.crt")); err != nil {
		t.Fatal(err)
	}
}

func (c minioClient) run(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command(c.binary, append([]string{"--config-dir", c.config}, args...)...)
	cmd.Env = append(minioFreeEnviron(), "MC_HOST_e2e="+c.host)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mc %s: %v\n%s", strings.Join(args[:3], " "), err, out)
	}
}

func (c minioClient) addUser(t testing.TB, name, policy string) Keys {
	t.Helper()
	document := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(document, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := Keys{name, name + "-secret"}
	c.run(t, "admin", "user", "add", "e2e", keys.AccessKeyID, keys.SecretAccessKey)
	c.run(t, "admin", "policy", "create", "e2e", name, document)
	c.run(t, "admin", "policy", "attach", "e2e", name, "--user", name)
	return keys
}
