// Package e2e holds the checks of the whole program: its tests build
// rtmfp-node, run it as separate processes on the loopback interface, read what
// comes out with ffmpeg, and watch the demo in headless Chromium.
//
// They need the tag e2e, Linux, ffmpeg, Chromium with its driver, and the right
// to open packet sockets; docs/testing.md says how to run them. A missing
// program skips a test, but fails it if RTMFP_E2E is set. Figures and
// screenshots are left in the folder that RTMFP_E2E_OUT names.
package e2e
