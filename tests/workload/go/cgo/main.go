// SPDX-License-Identifier: BSD-2-Clause

// cgo asks an LLM by turns with Go's own TLS and, through libcurl, with OpenSSL. On stdout JSON lines: ready; when a line came
// on stdin, one for each request when its reply is read; done. It ends when stdin closes.
package main

/*
#cgo LDFLAGS: -lcurl
#include <curl/curl.h>
#include <stdlib.h>

static size_t nowhere(char *p, size_t size, size_t n, void *ctx)
{
	return size * n;
}

static int ask(CURL *c, const char *url, const char *ca, const char *body)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	long status = 0;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_CAINFO, ca);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, nowhere);
	curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	return (int)status;
}
*/
import "C"

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

var (
	url = flag.String("url", "", "of the API, without a path")
	ca  = flag.String("ca", "", "file of the certificate authority")
	n   = flag.Int("n", 3, "requests with each")
)

func body(words int) string {
	return fmt.Sprintf(`{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "%s"}]}`,
		strings.TrimSpace(strings.Repeat("word ", words)))
}

func main() {
	flag.Parse()
	pem, err := os.ReadFile(*ca)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	curl := C.curl_easy_init()
	path := *url + "/v1/chat/completions"
	fmt.Println(`{"event": "ready"}`)
	stdin := bufio.NewReader(os.Stdin)
	stdin.ReadString('\n')
	for i := 0; i < *n; i++ {
		r, err := client.Post(path, "application/json", strings.NewReader(body(10+i)))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		fmt.Printf("{\"event\": \"call\", \"by\": \"go\", \"words\": %d, \"status\": %d}\n", 10+i, r.StatusCode)
		status := C.ask(curl, C.CString(path), C.CString(*ca), C.CString(body(20+i)))
		fmt.Printf("{\"event\": \"call\", \"by\": \"openssl\", \"words\": %d, \"status\": %d}\n", 20+i, int(status))
	}
	fmt.Println(`{"event": "done"}`)
	io.Copy(io.Discard, stdin)
}
