// Package usage tells what the process has used so far of the machine.
package usage
