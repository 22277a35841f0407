// Package s3server is there for its go.mod alone, which names the server of S3
// that end-to-end tests build and start, so that it is no dependency of the
// product.
package s3server
