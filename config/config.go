package config

import (
	"path/filepath"
	"time"
)

// DefaultPath is where the daemon looks for its settings when it isn't told.
const DefaultPath = "/etc/cc-ci/config.yml"

// Config is every setting of a runner. The zero value is of no use: start from
// Default or Load. Paths are absolute; durations are positive.
type Config struct {
	// StateDir holds what outlives a restart: the identity, leases, cloned actions,
	// and the program that sandboxes begin with. It must be on a local disk, since
	// leases are told to be alive by a file lock.
	StateDir string `yaml:"state_dir"`
	// WorkDir holds one folder per running job with its clone, workspace and
	// sockets. It is bind-mounted into sandboxes, so the engine must see it.
	WorkDir string `yaml:"work_dir"`
	// Identity is the file cc-ci register writes. Empty is identity.json in
	// StateDir; Load and Default fill it in.
	Identity string `yaml:"identity"`
	// Capacity is how many jobs run at once, at least 1.
	Capacity int `yaml:"capacity"`

	// BaseDomain is the domain below which each job gets a name; a wildcard
	// record and certificate for it are taken for granted.
	BaseDomain string `yaml:"base_domain"`
	// JobImage is the image of sandboxes when a label names none.
	JobImage string `yaml:"job_image"`

	// DockerHost is the address of a swarm manager's engine.
	DockerHost string `yaml:"docker_host"`
	// ProxyNetwork is the overlay network Traefik serves.
	ProxyNetwork string `yaml:"proxy_network"`
	// HTTPSPort is the port Traefik answers on.
	HTTPSPort int `yaml:"https_port"`
	// CAFile is a PEM file of the authority behind Traefik's certificate: the
	// route's proof and the sandboxes trust it beside the usual ones. Empty is
	// the usual ones only.
	CAFile string `yaml:"ca_file"`
	// Certificate is a PEM file of the wildcard certificate. The route's proof
	// wants its SHA-256 fingerprint; empty accepts any chain that verifies.
	Certificate string `yaml:"certificate"`
	// InstanceCAFile is a PEM file of the authority behind Gitea's certificate,
	// trusted beside the system's. Empty is the system's only.
	InstanceCAFile string `yaml:"instance_ca_file"`
	// EndpointMode is how services are reached inside the swarm: auto, vip or
	// dnsrr. Auto is vip where the kernel has IPVS.
	EndpointMode string `yaml:"endpoint_mode"`

	Log      Log      `yaml:"log"`
	Poll     Poll     `yaml:"poll"`
	Timeouts Timeouts `yaml:"timeouts"`
	Sandbox  Sandbox  `yaml:"sandbox"`
}

// Log is how the runner itself logs; jobs' logs go to Gitea.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is console, json or auto: console on a terminal, JSON otherwise.
	Format string `yaml:"format"`
}

// Poll is how the runner asks Gitea for tasks.
type Poll struct {
	// Interval is the time between two questions while nothing happens.
	Interval time.Duration `yaml:"interval"`
}

// Timeouts bound each phase of a job.
type Timeouts struct {
	Checkout  time.Duration `yaml:"checkout"`
	Preflight time.Duration `yaml:"preflight"`
	Pull      time.Duration `yaml:"pull"`
	// Converge bounds the wait for healthy services, unless the recipe or the
	// workflow asks for another time.
	Converge time.Duration `yaml:"converge"`
	Route    time.Duration `yaml:"route"`
	// Job bounds the whole job; a job's timeout-minutes can only shorten it.
	Job time.Duration `yaml:"job"`
	// Report bounds the gathering of logs and states after a failure.
	Report   time.Duration `yaml:"report"`
	Teardown time.Duration `yaml:"teardown"`
	// Shutdown is how long a stopping daemon waits for running jobs.
	Shutdown time.Duration `yaml:"shutdown"`
}

// Sandbox limits the container that steps run in. Zero is no limit, except that
// there is always one of processes, which all jobs share: zero PIDs are as many
// as by default.
type Sandbox struct {
	Memory Size    `yaml:"memory"`
	PIDs   int     `yaml:"pids"`
	CPUs   float64 `yaml:"cpus"`
}

// Default returns the settings of a file that says nothing.
func Default() Config {
	c := defaults()
	c.fill()
	return c
}

func defaults() Config {
	return Config{
		StateDir:     "/var/lib/cc-ci",
		WorkDir:      "/var/lib/cc-ci/jobs",
		Capacity:     1,
		BaseDomain:   "ci.commoninternet.net",
		JobImage:     "cc-ci-job:latest",
		DockerHost:   "unix:///var/run/docker.sock",
		ProxyNetwork: "proxy",
		HTTPSPort:    443,
		EndpointMode: "auto",
		Log:          Log{Level: "info", Format: "auto"},
		Poll:         Poll{Interval: 850 * time.Millisecond},
		Timeouts: Timeouts{
			Checkout:  2 * time.Minute,
			Preflight: 30 * time.Second,
			Pull:      10 * time.Minute,
			Converge:  5 * time.Minute,
			Route:     time.Minute,
			Job:       time.Hour,
			Report:    30 * time.Second,
			Teardown:  time.Minute,
			Shutdown:  time.Hour,
		},
		Sandbox: Sandbox{Memory: 4 << 30, PIDs: 4096},
	}
}

// fill sets what depends on other settings.
func (c *Config) fill() {
	if c.Identity == "" {
		c.Identity = filepath.Join(c.StateDir, "identity.json")
	}
}
