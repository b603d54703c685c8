// Says what in a dashboard (its path is the argument) Grafana's own schema does not know, misses, or does not allow.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(os.Args[1])
	read := dashboard.Dashboard{}
	if err == nil {
		err = read.UnmarshalJSONStrict(text)
	}
	if err == nil || err.Error() == "" { // what it returns when it found nothing is no nil
		err = read.Validate()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
