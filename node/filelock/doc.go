// Package filelock keeps two processes from using the same file or folder at once.
package filelock
