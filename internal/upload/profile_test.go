package upload

import (
	"fmt"
	"testing"
)

// What hosts are known for.
func TestProfileOf(t *testing.T) {
	const aws = "Amazon S3"
	tests := []struct {
		host, name, region string
	}{
		{"s3.amazonaws.com", aws, ""},
		{"S3.EU-Central-1.amazonaws.com.", aws, "eu-central-1"},
		{"s3-us-west-2.amazonaws.com", aws, "us-west-2"},
		{"s3.dualstack.ap-southeast-3.amazonaws.com", aws, "ap-southeast-3"},
		{"s3-fips.us-gov-west-1.amazonaws.com", aws, "us-gov-west-1"},
		{"s3-fips.dualstack.us-east-2.amazonaws.com", aws, "us-east-2"},
		{"s3-accelerate.amazonaws.com", aws, ""},
		{"s3-accelerate.dualstack.amazonaws.com", aws, ""},
		{"s3.cn-north-1.amazonaws.com.cn", aws, "cn-north-1"},
		{"s3.eusc-de-east-1.amazonaws.eu", aws, "eusc-de-east-1"},
		{"bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com", aws, "us-east-1"},
		{"accesspoint.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com", aws, "us-east-1"},
		{"s3-accesspoint.eu-west-1.amazonaws.com", aws, "eu-west-1"},
		// Servers of any make that run on AWS.
		{"ec2-3-120-1-1.eu-central-1.compute.amazonaws.com", "", ""},
		{"s3-1234567.eu-central-1.elb.amazonaws.com", "", ""},
		{"s3.amazonaws.com.example.org", "", ""},
		{"mys3.amazonaws.com", "", ""},

		{"0123456789abcdef.r2.cloudflarestorage.com", "Cloudflare R2", ""},
		{"0123456789abcdef.eu.r2.cloudflarestorage.com", "Cloudflare R2", ""},
		{"storage.googleapis.com", "Google Cloud Storage", ""},
		{"s3.us-west-004.backblazeb2.com", "Backblaze B2", ""},
		{"s3.eu-central-1.wasabisys.com", "Wasabi", ""},
		{"fra1.digitaloceanspaces.com", "DigitalOcean Spaces", ""},
		{"nl-ams-1.linodeobjects.com", "Linode", ""},
		{"fsn1.your-objectstorage.com", "Hetzner", ""},
		{"s3.fr-par.scw.cloud", "Scaleway", ""},
		{"fly.storage.tigris.dev", "Tigris", ""},
		{"t3.storage.dev", "Tigris", ""},
		{"oss-cn-hangzhou.aliyuncs.com", "Alibaba OSS", ""},
		{"cos.ap-guangzhou.myqcloud.com", "Tencent COS", ""},
		{"l4g4.ch11.idrivee2.com", "IDrive e2", ""},
		{"gateway.storjshare.io", "Storj", ""},
		{"notbackblazeb2.com", "", ""},
		{"minio.example.com", "", ""},
		{"127.0.0.1", "", ""},
		{"::1", "", ""},
		{"", "", ""},
	}
	for _, test := range tests {
		p := ProfileOf(test.host)
		if p.Name != test.name || p.AWS != (test.name == aws) || p.Region != test.region {
			t.Errorf("%s: %+v, want %q in %q", test.host, p, test.name, test.region)
		}
		if p.Name == "" && p != (Profile{}) {
			t.Errorf("%s: %+v of an unknown server", test.host, p)
		}
	}
}

// A provider's limits leave room for objects of hundreds of gigabytes.
func TestProfileLimits(t *testing.T) {
	if (Profile{}).limits() != s3Limits || ProfileOf("s3.amazonaws.com").limits() != s3Limits {
		t.Error("S3's own limits do not hold where nothing else is known")
	}
	for host, want := range map[string]struct {
		parts int
		first int64
	}{"s3.fr-par.scw.cloud": {1000, 8 << 20}, "gateway.storjshare.io": {10_000, 64 << 20}} {
		l := ProfileOf(host).limits()
		s, err := newSchedule(l, 0, 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if first := s.size(); first != want.first {
			t.Errorf("%s: parts start with %d bytes, want %d", host, first, want.first)
		}
		for !s.full() {
			s.begin(s.size())
		}
		if s.parts != want.parts || s.sent < 200<<30 {
			t.Errorf("%s: %s in %d parts, want %d parts and 200 GiB", host, byteCount(s.sent), s.parts, want.parts)
		}
	}
}

// Bodies without a checksum header are signed, unless that was decided.
func TestWhoSigns(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		name      string
		cfg       Config
		checksums bool
		want      string
	}{
		{"AWS", Config{}, true, "as the SDK does"},
		{"server unknown", Config{Endpoint: true}, true, "as the SDK does"},
		{"server rejects checksums", Config{Endpoint: true}, false, "signed"},
		{"server insists", Config{Endpoint: true, Profile: Profile{SignPayload: true}}, true, "signed"},
		{"chosen", Config{Endpoint: true, SignPayload: &yes}, true, "signed"},
		{"chosen not to", Config{Endpoint: true, SignPayload: &no, Profile: Profile{SignPayload: true}}, false, "unsigned"},
	} {
		got := "as the SDK does"
		switch sign := New(test.cfg).signing(test.checksums); fmt.Sprintf("%p", sign) {
		case fmt.Sprintf("%p", signed):
			got = "signed"
		case fmt.Sprintf("%p", unsigned):
			got = "unsigned"
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
