package origin

import (
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// S3 is an object store, S3 or compatible, of which objects are read that not
// everybody may read. An object is an origin by its plain URL,
// https://ENDPOINT/BUCKET/KEY; who has no keys is refused there.
type S3 struct {
	// Prefix is what the URLs of the objects begin with: the endpoint, the bucket,
	// and perhaps a part of the key, with a slash at the end. Requests for others
	// are not signed. Links come from anybody, so that it should be no more than
	// what may be given to the groups; that a file is known by its hash to whoever
	// made the link is all that keeps others from getting it.
	Prefix string

	Region       string // default us-east-1
	AccessKey    string
	SecretKey    string
	SessionToken string // of temporary keys
}

// sign signs a request if it is for an object of a store whose keys are known.
func sign(req *http.Request, stores []S3) *http.Request {
	// A path could lead out of the prefix again.
	if strings.Contains(req.URL.Path, "/../") || strings.Contains(req.URL.Path, "/./") || strings.HasSuffix(req.URL.Path, "/..") {
		return req
	}
	url := req.URL.String()
	for _, s := range stores {
		if strings.HasSuffix(s.Prefix, "/") && strings.HasPrefix(url, s.Prefix) {
			region := s.Region
			if region == "" {
				region = "us-east-1"
			}
			req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") // there is none
			return signer.SignV4(*req, s.AccessKey, s.SecretKey, s.SessionToken, region)
		}
	}
	return req
}
