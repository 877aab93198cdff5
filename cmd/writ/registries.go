package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ/registry/remote"
)

// registrySetting is what `registries` says of one host.
type registrySetting struct {
	mirrors   []string
	ca        string // file
	plainHTTP bool
}

const registriesForm = `registries: {registry.example: {mirrors: [HOST/PREFIX], ca: FILE, plainHttp: true}}`

// fillRegistries reads `registries` strictly: a member with a wrong name would be one
// that is silently without effect.
func (c *config) fillRegistries() error {
	c.Registries = map[string]registrySetting{}
	bad := func(place, format string, args ...any) error {
		return usage("registries%s: %s", place, fmt.Sprintf(format, args...)).WithFix("write " + registriesForm)
	}
	hosts, ok := c.values.Get("registries").(map[string]any)
	if !ok {
		return bad("", "want an object; a variable cannot hold it")
	}
	for host, value := range hosts {
		members, ok := value.(map[string]any)
		if value != nil && !ok {
			return bad("."+host, "want an object, {} for nothing")
		}
		var s registrySetting
		for name, value := range members {
			place := "." + host + "." + name
			switch name {
			case "mirrors":
				list, ok := value.([]any)
				for _, item := range list {
					text, isText := item.(string)
					ok = ok && isText
					s.mirrors = append(s.mirrors, text)
				}
				if !ok {
					return bad(place, "want a list of HOST[:PORT][/PREFIX]")
				}
			case "ca":
				if s.ca, ok = value.(string); !ok || s.ca == "" {
					return bad(place, "want the path of a PEM file")
				}
			case "plainHttp":
				if s.plainHTTP, ok = value.(bool); !ok {
					return bad(place, "want true or false")
				}
			default:
				return bad(place, "there is no such member")
			}
		}
		c.Registries[host] = s
	}
	return nil
}

// remote makes the client of registries; a relative path of a CA is the home's.
func (c *config) remote(edit func(*remote.Options)) (*remote.Client, error) {
	opts := remote.Options{
		Hosts: map[string]remote.Host{}, DockerConfig: c.DockerConfig, CacheDir: c.blobCache(), Proxy: http.ProxyFromEnvironment,
	}
	for name, s := range c.Registries {
		host := remote.Host{Mirrors: s.mirrors, PlainHTTP: s.plainHTTP}
		if s.ca != "" {
			file := c.homeFile(s.ca)
			pem, err := os.ReadFile(file)
			if err != nil {
				return nil, usage("registries.%s.ca: %s: %s", name, file, plainCause(err)).WithFix("put the certificates of its authority (PEM) there, or take ca out")
			}
			host.CA = pem
		}
		opts.Hosts[name] = host
	}
	if edit != nil {
		edit(&opts)
	}
	return remote.New(opts)
}

// blobCache is below the home where there is one.
func (c *config) blobCache() string {
	if info, err := os.Stat(filepath.Join(c.Home, "keys")); err == nil && info.IsDir() {
		return filepath.Join(c.Home, "cache", "blobs")
	}
	if c.UserCache == "" {
		return ""
	}
	return filepath.Join(c.UserCache, "writ", "blobs")
}

// environmentFiles are files of others that the environment places.
func (c *config) environmentFiles() {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		c.DockerConfig = filepath.Join(dir, "config.json")
	} else if home, err := os.UserHomeDir(); err == nil {
		c.DockerConfig = filepath.Join(home, ".docker", "config.json")
	}
	if dir, err := os.UserCacheDir(); err == nil {
		c.UserCache = dir
	}
}

// lockSource splits a reference for a lock file, whose digest stands apart.
func lockSource(origin string) string {
	source, _, _ := strings.Cut(origin, "@")
	return source
}
