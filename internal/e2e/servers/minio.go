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
func MinIO(t testing.TB) *Server {
	t.Helper()
	binary, mc := Binary(t, "minio"), Binary(t, "mc")
	dir := t.TempDir()
	s := &Server{Region: "eu-west-1"}
	addr := start(t, s.HTTPClient(), func(addr string) (*exec.Cmd, string) {
		cmd := exec.Command(binary, "server", "--quiet", "--address", addr,
			"--certs-dir", filepath.Join(dir, "certs"), filepath.Join(dir, "data"))
		cmd.Env = append(minioFreeEnviron(),
			"MINIO_ROOT_USER="+root.AccessKeyID, "MINIO_ROOT_PASSWORD="+root.SecretAccessKey,
			"MINIO_REGION="+s.Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
			// Without a key of its own every request for encryption is answered with 501.
			"MINIO_KMS_SECRET_KEY=e2e:"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
		return cmd, "http://" + addr + "/minio/health/live"
	})
	s.Endpoint = "http://" + addr
	client := minioClient{binary: mc, config: filepath.Join(dir, "mc"), addr: addr}
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
type minioClient struct{ binary, config, addr string }

func (c minioClient) run(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command(c.binary, append([]string{"--config-dir", c.config}, args...)...)
	cmd.Env = append(minioFreeEnviron(),
		"MC_HOST_e2e=http://"+root.AccessKeyID+":"+root.SecretAccessKey+"@"+c.addr)
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
