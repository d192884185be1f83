package upload

import (
	"regexp"
	"strings"
)

// Profile is what is known of the servers of one provider, by the host name of
// an endpoint. The zero Profile is a server of which nothing is known, such as a
// MinIO or a Ceph of somebody's own: the bucket goes into the path, and checksum
// headers are sent until the server names one as its problem.
type Profile struct {
	Name   string
	AWS    bool   // S3 itself
	Region string // in the host name of an endpoint of AWS

	VirtualHost bool  // the bucket goes into the host name; paths are refused
	NoChecksum  bool  // CRC-64/NVME headers are refused; bodies are signed instead
	SignPayload bool  // bodies are signed over https too
	PartSize    int64 // > 0: all parts but the last must be equal; this size is a good one
	BasePart    int64 // > 0: the size that parts start with
	MaxParts    int   // > 0: of one upload
}

// providers are known by the domains of their endpoints. What is not sure is
// left out: the zero Profile and the downgrade at the first refusal deal with
// it. Sources: the providers' documentation, rclone's backend/s3/provider, and
// the issues of litestream and aws-sdk-go-v2 on checksums and payload signing.
var providers = []struct {
	domains []string
	profile Profile
}{
	// Parts of different sizes are InvalidPart at Complete; x-amz-checksum-* was 501.
	{[]string{"r2.cloudflarestorage.com"}, Profile{Name: "Cloudflare R2", NoChecksum: true, PartSize: 16 << 20}},
	{[]string{"storage.googleapis.com"}, Profile{Name: "Google Cloud Storage", NoChecksum: true}},
	{[]string{"backblazeb2.com"}, Profile{Name: "Backblaze B2", NoChecksum: true}},
	{[]string{"wasabisys.com"}, Profile{Name: "Wasabi", NoChecksum: true}},
	{[]string{"digitaloceanspaces.com"}, Profile{Name: "DigitalOcean Spaces", NoChecksum: true}},
	{[]string{"linodeobjects.com"}, Profile{Name: "Linode", NoChecksum: true}},
	{[]string{"your-objectstorage.com"}, Profile{Name: "Hetzner", NoChecksum: true}},
	{[]string{"scw.cloud"}, Profile{Name: "Scaleway", SignPayload: true, MaxParts: 1000}},
	// Buckets made since February 2025 have no path-style addresses.
	{[]string{"tigris.dev", "storage.dev"}, Profile{Name: "Tigris", VirtualHost: true, SignPayload: true}},
	{[]string{"aliyuncs.com"}, Profile{Name: "Alibaba OSS", VirtualHost: true, NoChecksum: true}},
	// Buckets made since January 2024 have no path-style addresses.
	{[]string{"myqcloud.com"}, Profile{Name: "Tencent COS", VirtualHost: true, NoChecksum: true}},
	{[]string{"idrivee2.com", "idrivee2-0.com", "e2.cloudstorage.com"}, Profile{Name: "IDrive e2"}},
	// Each part is a segment of 64 MiB at least, and segments are billed.
	{[]string{"storjshare.io"}, Profile{Name: "Storj", BasePart: 64 << 20}},
}

// amazonHost are the hosts of S3: plain, FIPS, dual-stack, accelerated, in a VPC.
// Other hosts of AWS, such as load balancers, may have any server behind them.
var amazonHost = regexp.MustCompile(`(?:^|\.)s3(?:-(?:fips|accelerate|accesspoint|accesspoint-fips|external-1))?(?:\.dualstack)?` +
	`(?:[.-]([a-z]{2,4}(?:-[a-z]+)+-[0-9]+))?(?:\.vpce)?\.amazonaws\.(?:com|com\.cn|eu)$`)

// ProfileOf is what is known of the server with this host name, without a port.
func ProfileOf(host string) Profile {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if m := amazonHost.FindStringSubmatch(host); m != nil {
		return Profile{Name: "Amazon S3", AWS: true, Region: m[1], VirtualHost: true}
	}
	for _, p := range providers {
		for _, domain := range p.domains {
			if host == domain || strings.HasSuffix(host, "."+domain) {
				return p.profile
			}
		}
	}
	return Profile{}
}

// limits are S3's, as far as the provider has none of its own. Parts of fewer
// grow faster, so that large objects fit.
func (p Profile) limits() limits {
	l := s3Limits
	if p.BasePart > 0 {
		l.basePart = p.BasePart
	}
	if p.MaxParts > 0 {
		l.growth = max(1, l.growth*int64(p.MaxParts)/int64(l.maxParts))
		l.level = l.level * int64(p.MaxParts) / int64(l.maxParts)
		l.maxParts = p.MaxParts
	}
	return l
}
