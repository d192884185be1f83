package s3writertest

import "net/http"

// operation is one of S3's or STS's actions: its name, the permissions it needs, and what carries it out.
type operation struct {
	name        string
	permissions []string // on the key, else on the bucket
	serve       func(*call) error
}

// operation finds what the request asks for, by method, path and query as S3 does.
func (c *call) operation() operation {
	switch {
	case c.form != nil:
		return operation{name: c.stsAction()}
	case c.bucket == "":
		return c.serviceOperation()
	case c.key == "":
		return c.bucketOperation()
	}
	return c.objectOperation()
}

func (c *call) serviceOperation() operation {
	if c.r.Method == http.MethodGet {
		return operation{"ListBuckets", []string{"s3:ListAllMyBuckets"}, (*call).read}
	}
	return operation{name: "Unknown"}
}

func (c *call) bucketOperation() operation {
	list := []string{"s3:ListBucket"}
	switch method := c.r.Method; {
	case method == http.MethodHead:
		return operation{"HeadBucket", list, (*call).headBucket}
	case method == http.MethodGet && c.query.Has("location"):
		return operation{"GetBucketLocation", []string{"s3:GetBucketLocation"}, (*call).getBucketLocation}
	case method == http.MethodGet && c.query.Has("uploads"):
		return operation{"ListMultipartUploads", []string{"s3:ListBucketMultipartUploads"}, (*call).listMultipartUploads}
	case method == http.MethodGet && c.query.Get("list-type") == "2":
		return operation{"ListObjectsV2", list, (*call).read}
	case method == http.MethodGet && !c.subresource():
		return operation{"ListObjects", list, (*call).read}
	case method == http.MethodPut && len(c.query) == 0:
		return operation{"CreateBucket", []string{"s3:CreateBucket"}, (*call).read}
	case method == http.MethodDelete && len(c.query) == 0:
		return operation{"DeleteBucket", []string{"s3:DeleteBucket"}, (*call).read}
	case method == http.MethodPost && c.query.Has("delete"):
		return operation{"DeleteObjects", nil, (*call).deleteObjects} // asks key by key
	}
	return operation{name: "Unknown"}
}

func (c *call) objectOperation() operation {
	put, get := []string{"s3:PutObject"}, []string{"s3:GetObject"}
	upload := c.query.Has("uploadId")
	switch method := c.r.Method; {
	case c.subresource():
	case method == http.MethodPut && c.r.Header.Get("X-Amz-Copy-Source") != "":
	case method == http.MethodPut && upload:
		return operation{"UploadPart", put, (*call).uploadPart}
	case method == http.MethodPut:
		return operation{"PutObject", c.writePermissions(), (*call).putObject}
	case method == http.MethodPost && c.query.Has("uploads"):
		return operation{"CreateMultipartUpload", c.writePermissions(), (*call).createMultipartUpload}
	case method == http.MethodPost && upload:
		return operation{"CompleteMultipartUpload", put, (*call).completeMultipartUpload}
	case method == http.MethodDelete && upload:
		return operation{"AbortMultipartUpload", []string{"s3:AbortMultipartUpload"}, (*call).abortMultipartUpload}
	case method == http.MethodGet && upload:
		return operation{"ListParts", []string{"s3:ListMultipartUploadParts"}, (*call).listParts}
	case method == http.MethodGet:
		return operation{"GetObject", get, (*call).getObject}
	case method == http.MethodHead:
		return operation{"HeadObject", get, (*call).getObject}
	case method == http.MethodDelete:
		return operation{"DeleteObject", []string{"s3:DeleteObject"}, (*call).read}
	}
	return operation{name: "Unknown"}
}

// writePermissions are those of PutObject and CreateMultipartUpload: some headers need one of their own.
func (c *call) writePermissions() []string {
	permissions := []string{"s3:PutObject"}
	for _, extra := range []struct{ header, permission string }{
		{"X-Amz-Tagging", "s3:PutObjectTagging"},
		{"X-Amz-Acl", "s3:PutObjectAcl"},
		{"X-Amz-Grant-Full-Control", "s3:PutObjectAcl"},
		{"X-Amz-Grant-Read", "s3:PutObjectAcl"},
		{"X-Amz-Grant-Read-Acp", "s3:PutObjectAcl"},
		{"X-Amz-Grant-Write-Acp", "s3:PutObjectAcl"},
		{"X-Amz-Object-Lock-Mode", "s3:PutObjectRetention"},
		{"X-Amz-Object-Lock-Legal-Hold", "s3:PutObjectLegalHold"},
	} {
		if c.r.Header.Get(extra.header) != "" {
			permissions = append(permissions, extra.permission)
		}
	}
	return permissions
}

// subresource tells whether the request is about something this server does not have.
func (c *call) subresource() bool {
	for _, name := range []string{
		"acl", "attributes", "cors", "encryption", "legal-hold", "lifecycle", "object-lock", "policy", "restore",
		"retention", "select", "tagging", "torrent", "versionId", "versioning", "versions", "website", "X-Amz-Signature",
	} {
		if c.query.Has(name) {
			return true
		}
	}
	return false
}
