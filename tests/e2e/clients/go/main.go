// Reads a stream with a library of Go and prints what it delivers, one JSON object a line.
// Usage: libraries LIBRARY URL
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	donovan "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

var out = json.NewEncoder(os.Stdout)

func message(event, data, id string) {
	if event == "" {
		event = "message"
	}
	out.Encode(map[string]string{"type": "message", "event": event, "data": data, "id": id})
}

func word(kind, text string) { out.Encode(map[string]string{"type": kind, "text": text}) }

func main() {
	url := os.Args[2]
	switch os.Args[1] {
	case "r3labs":
		client := r3labs.NewClient(url)
		client.OnConnect(func(*r3labs.Client) { word("open", "") })
		client.OnDisconnect(func(*r3labs.Client) { word("end", "") })
		for {
			err := client.SubscribeRaw(func(e *r3labs.Event) { message(string(e.Event), string(e.Data), string(e.ID)) })
			if err != nil {
				word("error", err.Error())
			} else {
				word("final", "")
			}
			time.Sleep(200 * time.Millisecond)
		}
	case "launchdarkly":
		request, _ := http.NewRequest("GET", url, nil)
		stream, err := launchdarkly.SubscribeWithRequestAndOptions(request, launchdarkly.StreamOptionErrorHandler(
			func(err error) launchdarkly.StreamErrorHandlerResult {
				word("error", err.Error())
				return launchdarkly.StreamErrorHandlerResult{}
			}), launchdarkly.StreamOptionInitialRetry(200*time.Millisecond))
		if err != nil {
			word("error", err.Error())
			os.Exit(1)
		}
		word("open", "")
		for e := range stream.Events {
			message(e.Event(), e.Data(), e.Id())
		}
	case "donovanhide":
		stream, err := donovan.Subscribe(url, "")
		if err != nil {
			word("error", err.Error())
			os.Exit(1)
		}
		word("open", "")
		for {
			select {
			case e := <-stream.Events:
				message(e.Event(), e.Data(), e.Id())
			case err := <-stream.Errors:
				word("error", err.Error())
			}
		}
	case "tmaxmax":
		request, _ := http.NewRequestWithContext(context.Background(), "GET", url, nil)
		client := tmaxmax.Client{Backoff: tmaxmax.Backoff{InitialInterval: 200 * time.Millisecond}, OnRetry: func(err error, d time.Duration) { word("end", d.String()) }}
		connection := client.NewConnection(request)
		connection.SubscribeToAll(func(e tmaxmax.Event) { message(e.Type, e.Data, e.LastEventID) })
		err := connection.Connect()
		word("error", err.Error())
	}
}
