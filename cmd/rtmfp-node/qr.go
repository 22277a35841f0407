package main

import (
	"fmt"
	"os"
	"strings"

	"rsc.io/qr"
)

// qrTerminal is what stands for the terminal in place of a picture's file.
const qrTerminal = "-"

// drawQR draws a link as a QR picture: on the terminal, black on white whatever
// its colors are, or into a PNG file.
func drawQR(e *env, link, file string) error {
	code, err := qr.Encode(link, qr.L)
	if err != nil {
		return failf(exitFailure, "the link has %d characters, too many for a QR picture; a shorter name, or fewer introducers and origins, may help", len(link))
	}
	if file == qrTerminal {
		_, err := fmt.Fprint(e.console, qrText(code))
		return err
	}
	if err := os.WriteFile(file, code.PNG(), 0o644); err != nil {
		return failf(exitFailure, "can't write the QR picture: %w", err)
	}
	return nil
}

// qrText draws a picture with two rows of it in each line, and a margin of four
// as the standard asks for.
func qrText(code *qr.Code) string {
	const margin = 4
	var b strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -margin; x < code.Size+margin; x++ {
			switch up, down := code.Black(x, y), code.Black(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}
