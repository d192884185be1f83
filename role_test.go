package s3writer

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestAssumeRoleForm(t *testing.T) {
	many := map[string]string{}
	for i := range 51 {
		many["k"+string(rune('A'+i/26))+string(rune('a'+i%26))] = ""
	}
	chained := AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/base"}
	for _, test := range []struct {
		name   string
		change func(*AssumeRole)
		want   string
	}{
		{"good", func(r *AssumeRole) {}, ""},
		{"path", func(r *AssumeRole) { r.RoleName = "team/exports/w" }, ""},
		{"ARN", func(r *AssumeRole) { *r = AssumeRole{RoleARN: "arn:aws-us-gov:iam::123456789012:role/team/w"} }, ""},
		{"ARN of another server", func(r *AssumeRole) {
			*r = AssumeRole{RoleARN: "arn:minio:iam:::role/w", Endpoint: "http://localhost:9000"}
		}, ""},
		{"lost zeros", func(r *AssumeRole) { r.AccountID = "3456789012" },
			`AssumeRole.AccountID "3456789012": want 12 digits without dashes; where it was kept as a number its leading zeros are lost`},
		{"dashes", func(r *AssumeRole) { r.AccountID = "1234-5678-9012" },
			`AssumeRole.AccountID "1234-5678-9012": want 12 digits without dashes; where it was kept as a number its leading zeros are lost`},
		{"no account", func(r *AssumeRole) { r.AccountID = "" },
			`AssumeRole.AccountID "": want 12 digits without dashes; where it was kept as a number its leading zeros are lost`},
		{"no name", func(r *AssumeRole) { r.RoleName = "" },
			`AssumeRole.RoleName "": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)`},
		{"space in name", func(r *AssumeRole) { r.RoleName = "s3 writer" },
			`AssumeRole.RoleName "s3 writer": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)`},
		{"slash before name", func(r *AssumeRole) { r.RoleName = "/w" },
			`AssumeRole.RoleName "/w": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)`},
		{"long name", func(r *AssumeRole) { r.RoleName = strings.Repeat("n", 65) },
			`AssumeRole.RoleName "` + strings.Repeat("n", 65) + `": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)`},
		{"ARN as name", func(r *AssumeRole) { r.RoleName = "arn:aws:iam::123456789012:role/w" },
			`AssumeRole.RoleName "arn:aws:iam::123456789012:role/w": want a name; an ARN belongs in RoleARN`},
		{"nothing", func(r *AssumeRole) { *r = AssumeRole{} }, `AssumeRole names no role: set RoleARN, or AccountID and RoleName`},
		{"both", func(r *AssumeRole) { r.RoleARN = "arn:aws:iam::123456789012:role/w" },
			`AssumeRole.RoleARN is given together with AccountID or RoleName: want one or the other`},
		{"ARN of a user", func(r *AssumeRole) { *r = AssumeRole{RoleARN: "arn:aws:iam::123456789012:user/w"} },
			`AssumeRole.RoleARN "arn:aws:iam::123456789012:user/w": want arn:<partition>:iam::<account of 12 digits>:role/<name>`},
		{"ARN of a session", func(r *AssumeRole) { *r = AssumeRole{RoleARN: "arn:aws:sts::123456789012:assumed-role/w/s"} },
			`AssumeRole.RoleARN "arn:aws:sts::123456789012:assumed-role/w/s": want the role (arn:aws:iam::<account>:role/<name>), not a session of it`},
		{"ARN of another server at AWS", func(r *AssumeRole) { *r = AssumeRole{RoleARN: "arn:minio:iam:::role/w"} },
			`AssumeRole.RoleARN "arn:minio:iam:::role/w": want arn:<partition>:iam::<account of 12 digits>:role/<name>`},
		{"region of another partition", func(r *AssumeRole) {
			*r = AssumeRole{RoleARN: "arn:aws-cn:iam::123456789012:role/w", Region: "us-east-1"}
		},
			`AssumeRole.Region "us-east-1": want one of RoleARN's partition, aws-cn, such as cn-north-1`},
		{"region", func(r *AssumeRole) { r.Region = "Frankfurt" }, `AssumeRole.Region "Frankfurt": want a region's name such as us-east-1`},
		{"short external ID", func(r *AssumeRole) { r.ExternalID = "x" }, `AssumeRole.ExternalID "x": want 2 to 1224 letters, digits or +=,.@:/_-`},
		{"space in external ID", func(r *AssumeRole) { r.ExternalID = "project 42" },
			`AssumeRole.ExternalID "project 42": want 2 to 1224 letters, digits or +=,.@:/_-`},
		{"long external ID", func(r *AssumeRole) { r.ExternalID = strings.Repeat("x", 1225) },
			`AssumeRole.ExternalID "` + strings.Repeat("x", 1225) + `": want 2 to 1224 letters, digits or +=,.@:/_-`},
		{"session name", func(r *AssumeRole) { r.SessionName = "nightly export" },
			`AssumeRole.SessionName "nightly export": want 2 to 64 letters, digits or +=,.@_-`},
		{"source identity", func(r *AssumeRole) { r.SourceIdentity = "aws:alice" },
			`AssumeRole.SourceIdentity "aws:alice": want 2 to 64 letters, digits or +=,.@_-`},
		{"short duration", func(r *AssumeRole) { r.Duration = time.Minute }, `AssumeRole.Duration 1m0s: want 15m0s to 12h0m0s`},
		{"negative duration", func(r *AssumeRole) { r.Duration = -time.Hour }, `AssumeRole.Duration -1h0m0s: want 15m0s to 12h0m0s`},
		{"long duration", func(r *AssumeRole) { r.Duration = 13 * time.Hour }, `AssumeRole.Duration 13h0m0s: want 15m0s to 12h0m0s`},
		{"chained", func(r *AssumeRole) { r.Base, r.Duration = chained, 2*time.Hour },
			`AssumeRole.Duration 2h0m0s: want at most 1h0m0s where Base is itself a role (role chaining)`},
		{"chained through a cache", func(r *AssumeRole) { r.Base, r.Duration = aws.NewCredentialsCache(&chained), 2*time.Hour },
			`AssumeRole.Duration 2h0m0s: want at most 1h0m0s where Base is itself a role (role chaining)`},
		{"chained for an hour", func(r *AssumeRole) { r.Base, r.Duration = chained, time.Hour }, ""},
		{"policy", func(r *AssumeRole) { r.SessionPolicy = "{" }, `AssumeRole.SessionPolicy "{": want an IAM policy in JSON`},
		{"policy is no object", func(r *AssumeRole) { r.SessionPolicy = "[]" }, `AssumeRole.SessionPolicy "[]": want an IAM policy in JSON`},
		{"long policy", func(r *AssumeRole) { r.SessionPolicy = `{"a":"` + strings.Repeat("x", 2048) + `"}` },
			`AssumeRole.SessionPolicy 2056: want at most 2048 characters`},
		{"policies", func(r *AssumeRole) {
			for range 11 {
				r.SessionPolicyARNs = append(r.SessionPolicyARNs, "arn:aws:iam::aws:policy/ReadOnlyAccess")
			}
		}, `AssumeRole.SessionPolicyARNs 11: want at most 10`},
		{"policy ARN", func(r *AssumeRole) { r.SessionPolicyARNs = []string{"ReadOnlyAccess"} },
			`AssumeRole.SessionPolicyARNs "ReadOnlyAccess": want arn:<partition>:iam::<account, or aws>:policy/<name>`},
		{"tags", func(r *AssumeRole) { r.Tags = many }, `AssumeRole.Tags 51: want at most 50`},
		{"tag key", func(r *AssumeRole) { r.Tags = map[string]string{"aws:x": ""} },
			`AssumeRole.Tags "aws:x": want a key of 1 to 128 letters, digits, spaces or _.:/=+-@ that does not begin with aws:`},
		{"tag value", func(r *AssumeRole) { r.Tags = map[string]string{"team": "a*"} },
			`AssumeRole.Tags["team"] "a*": want at most 256 letters, digits, spaces or _.:/=+-@`},
		{"tags by case", func(r *AssumeRole) { r.Tags = map[string]string{"Team": "", "team": ""} },
			`AssumeRole.Tags "team": want keys that differ in more than case, and there is "Team"`},
		{"endpoint", func(r *AssumeRole) { r.Endpoint = "sts.example.com" },
			`AssumeRole.Endpoint "sts.example.com": want a URL such as https://sts.example.com, without user, query and fragment`},
		{"user in endpoint", func(r *AssumeRole) { r.Endpoint = "https://user:secret@sts.example.com" },
			`AssumeRole.Endpoint "https://redacted@sts.example.com": want a URL such as https://sts.example.com, without user, query and fragment`},
		{"all at once", func(r *AssumeRole) { *r = AssumeRole{AccountID: "1", RoleName: "*", ExternalID: "x", Duration: 1} },
			`AssumeRole.AccountID "1": want 12 digits without dashes; where it was kept as a number its leading zeros are lost` + "\n" +
				`AssumeRole.RoleName "*": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)` + "\n" +
				`AssumeRole.ExternalID "x": want 2 to 1224 letters, digits or +=,.@:/_-` + "\n" +
				`AssumeRole.Duration 1ns: want 15m0s to 12h0m0s`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := AssumeRole{AccountID: "123456789012", RoleName: "w"}
			test.change(&r)
			got := ""
			if err := r.validate(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRegionOfSTS(t *testing.T) {
	const inAWS, inChina = "arn:aws:iam::123456789012:role/w", "arn:aws-cn:iam::123456789012:role/w"
	for _, test := range []struct {
		name                           string
		role                           AssumeRole
		region, defaultRegion, profile string
		want                           string
	}{
		{"given", AssumeRole{Region: "eu-west-1"}, "us-west-2", "us-west-1", "eu-central-1", "eu-west-1"},
		{"AWS_REGION", AssumeRole{RoleARN: inAWS}, "us-west-2", "us-west-1", "eu-central-1", "us-west-2"},
		{"AWS_DEFAULT_REGION", AssumeRole{}, "", "us-west-1", "eu-central-1", "us-west-1"},
		{"profile", AssumeRole{}, "", "", "eu-central-1", "eu-central-1"},
		{"none", AssumeRole{}, "", "", "", "us-east-1"},
		{"none in China", AssumeRole{RoleARN: inChina}, "", "", "", "cn-north-1"},
		{"another partition's", AssumeRole{RoleARN: inChina}, "us-west-2", "", "", "cn-north-1"},
		{"the partition's among others", AssumeRole{RoleARN: inChina}, "us-west-2", "cn-northwest-1", "", "cn-northwest-1"},
		{"China's for AWS", AssumeRole{RoleARN: inAWS}, "cn-north-1", "", "", "us-east-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("AWS_REGION", test.region)
			t.Setenv("AWS_DEFAULT_REGION", test.defaultRegion)
			if got := test.role.stsRegion(test.profile); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRoleARNPartition(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "aws", "eu-isoe-west-1": "aws-iso-e", "cn-north-1": "aws-cn", "us-gov-east-1": "aws-us-gov",
		"eusc-de-east-1": "aws-eusc", "us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b", "us-isof-south-1": "aws-iso-f",
	} {
		r := AssumeRole{AccountID: "123456789012", RoleName: "team/w"}
		if got, want := r.roleARN(region), "arn:"+want+":iam::123456789012:role/team/w"; got != want {
			t.Errorf("%s: got %s, want %s", region, got, want)
		}
	}
}
