package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// VersityGW starts a VersityGW with an IAM service of its own. It has no STS AssumeRole.
func VersityGW(t testing.TB) *Server { return versityGW(t, "us-east-1", nil) }

// VersityGWTLS is [VersityGW] over https, with a certificate of an authority made for this server.
func VersityGWTLS(t testing.TB) *Server { return versityGW(t, "eu-central-1", newCertificate(t)) }

func versityGW(t testing.TB, region string, cert *certificate) *Server {
	t.Helper()
	binary := Binary(t, "versitygw")
	s := &Server{Region: region}
	scheme, tlsArgs := "http://", []string(nil)
	if cert != nil {
		s.CA, s.CAFile = cert.pool, cert.caFile
		scheme, tlsArgs = "https://", []string{"--cert", cert.certFile, "--key", cert.keyFile}
	}
	dir := shortTempDir(t)
	socket := filepath.Join(dir, "iam.sock")
	data, users := filepath.Join(dir, "data"), filepath.Join(dir, "iam")
	for _, d := range []string{data, users} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	command := func(addr string, args ...string) *exec.Cmd {
		cmd := exec.Command(binary, append([]string{"--quiet", "--health", "/healthz", "--port", addr}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+root.AccessKeyID, "ROOT_SECRET_KEY="+root.SecretAccessKey)
		return cmd
	}

	iamAddr := start(t, s.HTTPClient(), func(addr string) (*exec.Cmd, string) {
		return command(addr, "iam", "--dir", users, "--private-ports", socket), "http://" + addr + "/healthz"
	})
	addr := start(t, s.HTTPClient(), func(addr string) (*exec.Cmd, string) {
		args := append(tlsArgs,
			"--keep-alive", // else every answer closes the connection
			"--region", region,
			"--iam-standalone-endpoint", socket,
			"--iam-cache-disable", // else a new policy counts after two minutes
			"posix", data)
		return command(addr, args...), scheme + addr + "/healthz"
	})
	s.Endpoint = scheme + addr
	accounts := iam.New(iam.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + iamAddr), Credentials: root})
	s.addUser = func(t testing.TB, name, policy string) Keys { return addIAMUser(t, accounts, name, policy) }
	s.removeUser = func(t testing.TB, name string) { removeIAMUser(t, accounts, name) }
	return s
}

const userPolicy = "delivery"

func addIAMUser(t testing.TB, client *iam.Client, name, policy string) Keys {
	t.Helper()
	ctx := t.Context()
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	_, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: &name, PolicyName: aws.String(userPolicy), PolicyDocument: &policy,
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return Keys{*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey}
}

func removeIAMUser(t testing.TB, client *iam.Client, name string) {
	t.Helper()
	ctx := t.Context()
	keys, err := client.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys.AccessKeyMetadata {
		_, err := client.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: key.AccessKeyId})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: aws.String(userPolicy)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
}
