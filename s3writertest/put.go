package s3writertest

import (
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (c *call) putObject() error {
	header, err := c.objectHeader()
	if err != nil {
		return err
	}
	p, err := c.readPayload(!c.s.settings.discards())
	if err != nil {
		return err
	}
	c.addChecksum(header, p)
	o := p.object(c.key, header)
	if err := c.s.store.put(c.bucket, o, c.precondition); err != nil {
		return err
	}
	c.echo(header)
	c.w.Header().Set("ETag", o.etag)
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// addChecksum notes the checksum the client sent; AWS adds its own where none was.
func (c *call) addChecksum(header http.Header, p payload) {
	header.Set(checksumPrefix+"Type", "FULL_OBJECT")
	if p.sent != nil {
		header.Set(p.sent.header(), c.r.Header.Get(p.sent.header()))
		return
	}
	header.Set(crc64NVME.header(), encodeCRC(p.crc))
}

// precondition is what If-None-Match and If-Match ask of the object that is about to be replaced.
func (c *call) precondition(old *object) error {
	condition := ""
	switch match := c.r.Header.Get("If-Match"); {
	case c.r.Header.Get("If-None-Match") == "*" && old != nil:
		condition = "If-None-Match"
	case match != "" && old == nil:
		return noSuchKey(c.key)
	case match != "" && strings.Trim(match, `"`) != strings.Trim(old.etag, `"`):
		condition = "If-Match"
	default:
		return nil
	}
	return errorf(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold").with("Condition", condition)
}

// echo repeats in an answer what AWS repeats of an object's headers.
func (c *call) echo(header http.Header) {
	for name, values := range header {
		if strings.HasPrefix(name, checksumPrefix) || strings.HasPrefix(name, "X-Amz-Server-Side-Encryption") {
			c.w.Header()[name] = values
		}
	}
}

var storedHeaders = []string{
	"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Expires",
	"X-Amz-Acl", "X-Amz-Object-Lock-Legal-Hold", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date",
	"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
	"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled", "X-Amz-Server-Side-Encryption-Context",
	"X-Amz-Server-Side-Encryption-Customer-Algorithm", "X-Amz-Server-Side-Encryption-Customer-Key-Md5",
	"X-Amz-Storage-Class", "X-Amz-Tagging", "X-Amz-Website-Redirect-Location",
}

const metadataPrefix = "X-Amz-Meta-"

// objectHeader takes from a PutObject or CreateMultipartUpload what stays with the object.
func (c *call) objectHeader() (http.Header, error) {
	header := http.Header{"Content-Type": {"binary/octet-stream"}}
	for name, values := range c.r.Header {
		if slices.Contains(storedHeaders, name) || strings.HasPrefix(name, metadataPrefix) {
			header[name] = []string{strings.Join(values, ",")}
		}
	}
	if err := c.checkCustomerKey(); err != nil {
		return nil, err
	}
	return header, checkObjectHeader(header)
}

const customerKey = "X-Amz-Server-Side-Encryption-Customer-Key"

// checkCustomerKey checks the form of SSE-C's headers. Nothing is encrypted here, and the key is forgotten.
func (c *call) checkCustomerKey() error {
	header := c.r.Header
	if header.Get(customerKey) == "" && header.Get(customerKey+"-Md5") == "" {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(header.Get(customerKey))
	sum := md5.Sum(key)
	switch {
	case c.r.TLS == nil:
		return invalidRequest("Requests specifying Server Side Encryption with Customer provided keys must be made over " +
			"a secure connection.")
	case err != nil || len(key) != 32 || header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != "AES256":
		return invalidArgument("The secret key was invalid for the specified algorithm.")
	case base64.StdEncoding.EncodeToString(sum[:]) != header.Get(customerKey+"-Md5"):
		return invalidArgument("The calculated MD5 hash of the key did not match the hash that was provided.")
	}
	return nil
}

var (
	storageClasses = []string{
		"", "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
		"DEEP_ARCHIVE", "GLACIER_IR", "EXPRESS_ONEZONE", "OUTPOSTS", "SNOW",
	}
	encryptions = []string{"", "AES256", "aws:kms", "aws:kms:dsse"}
	cannedACLs  = []string{
		"", "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read",
		"bucket-owner-read", "bucket-owner-full-control",
	}
)

func checkObjectHeader(header http.Header) error {
	size := 0
	for name, value := range metadata(header) {
		size += len(name) + len(value)
	}
	switch {
	case size > 2<<10:
		return errorf(http.StatusBadRequest, "MetadataTooLarge",
			"Your metadata headers exceed the maximum allowed metadata size").
			with("Size", strconv.Itoa(size)).with("MaxSizeAllowed", "2048")
	case !slices.Contains(storageClasses, header.Get("X-Amz-Storage-Class")):
		return errorf(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid")
	case !slices.Contains(encryptions, header.Get("X-Amz-Server-Side-Encryption")):
		return invalidArgument("The encryption method specified is not supported")
	case !slices.Contains(cannedACLs, header.Get("X-Amz-Acl")):
		return invalidArgument("The canned ACL %q is not valid", header.Get("X-Amz-Acl"))
	}
	return nil
}

// metadata returns the user metadata among an object's headers.
func metadata(header http.Header) map[string]string {
	m := map[string]string{}
	for name := range header {
		if user, ok := strings.CutPrefix(name, metadataPrefix); ok {
			m[strings.ToLower(user)] = header.Get(name)
		}
	}
	return m
}
