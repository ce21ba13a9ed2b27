package executor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// prepare deploys the app, waits until it serves, and makes the sandbox
// meanwhile. When one of the two fails, the other is given up.
func (r *run) prepare(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	deployed := make(chan struct{}) // closed once the app's networks are there
	group.Go(func() error {
		return r.recovered(func() error { return r.makeSandbox(ctx, deployed) })
	})
	if r.app != nil {
		group.Go(func() error {
			return r.recovered(func() error { return r.bringUp(ctx, deployed) })
		})
	}
	return group.Wait()
}

// bringUp is deploy → converge → route.
func (r *run) bringUp(ctx context.Context, deployed chan<- struct{}) error {
	if err := r.deploy(ctx); err != nil {
		return err
	}
	close(deployed)
	if err := r.converge(ctx); err != nil {
		return err
	}
	return r.route(ctx)
}

// makeSandbox starts the container for the steps and lets it join the app's
// networks as soon as they are there, so that neither is waited for later.
func (r *run) makeSandbox(ctx context.Context, deployed <-chan struct{}) error {
	if err := r.startSandbox(ctx); err != nil || r.app == nil {
		return err
	}
	select {
	case <-deployed:
		return r.joinNetworks(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *run) deploy(ctx context.Context) error {
	return r.timed(ctx, "deploy", r.config.Timeouts.Converge, func(ctx context.Context) error {
		r.log.group(fmt.Sprintf("Deploy %s: %s to %s", r.recipe, countOf(len(r.app.Services), "service", "services"), r.url))
		networks := make([]swarm.Network, len(r.app.Networks))
		for i, network := range r.app.Networks {
			networks[i] = swarm.Network(network)
		}
		deployment, err := r.engine.Deploy(ctx, r.owner, swarm.Stack{
			Name:     r.app.StackName,
			Networks: networks,
			External: r.app.External,
			Secrets:  r.app.Secrets,
			Configs:  r.app.Configs,
			Services: r.app.Services,

			EndpointMode: r.engine.EndpointMode(r.config.EndpointMode),
		})
		switch {
		case errors.Is(err, swarm.ErrNoProxy):
			// Only the proxy network can be external, and that is the host's.
			return infraFault(err, "", "%v", err)
		case errors.Is(err, swarm.ErrBadStack):
			return recipeFault(err, "", "%v", err)
		case err != nil:
			return infraFault(err, "", "%v", err)
		}
		r.deployment = deployment
		return nil
	})
}

// converge waits until every service is up and healthy.
func (r *run) converge(ctx context.Context) error {
	limit := r.config.Timeouts.Converge
	if r.app.Timeout > 0 {
		limit = r.app.Timeout
	}
	if r.settings.timeout > 0 {
		limit = r.settings.timeout
	}
	return r.timed(ctx, "converge", limit, func(ctx context.Context) error {
		err := r.deployment.Converge(ctx, func(p swarm.Progress) { r.log.rowf("%s", strings.ReplaceAll(p.String(), r.app.StackName+"_", "")) })
		if err == nil {
			return nil
		}
		return convergeFault(err)
	})
}

// convergeFault blames the recipe for what its services do and for the time
// they take, the runner for an engine that doesn't answer.
func convergeFault(err error) error {
	var verdict *swarm.ConvergeError
	if !errors.As(err, &verdict) {
		return infraFault(err, "", "%v", err)
	}
	if verdict.Verdict == swarm.Removed {
		return infraFault(err, "somebody or something removed it from the engine while the job ran", "%v", err)
	}
	hint := "the services' states and the ends of their logs are below"
	if verdict.Verdict == swarm.TimedOut {
		hint += "; if the app only needs longer, set CC_CI_TIMEOUT in the job's env, or the recipe's label coop-cloud.${STACK_NAME}.timeout"
	}
	return recipeFault(err, hint, "%v", err)
}

// route proves that the app answers at its address.
func (r *run) route(ctx context.Context) error {
	if !r.app.Routed {
		r.log.rowf("the recipe has no DOMAIN, so no address is expected to answer")
		return nil
	}
	return r.timed(ctx, "routed", r.config.Timeouts.Route, func(ctx context.Context) error {
		proof, err := r.routeProof()
		if err != nil {
			return infraFault(err, "", "%v", err)
		}
		status, err := proof.prove(ctx)
		if err != nil {
			hint := routeHint(err, r.settings.healthStatus)
			if isInfraRoute(err) {
				return infraFault(err, hint, "%s doesn't answer: %v", proof.url, err)
			}
			return recipeFault(err, hint, "%s doesn't answer as it should: %v", proof.url, err)
		}
		r.log.rowf("%s answers %d", proof.url, status)
		r.log.end()
		r.log.report.Flush()
		return nil
	})
}

// routeProof fills in where Traefik, or the router in its place, listens. The
// wildcard certificate is read anew each time, since it is renewed under a
// running daemon.
func (r *run) routeProof() (route, error) {
	proof := route{
		url:      r.url + r.settings.healthPath,
		address:  net.JoinHostPort("127.0.0.1", strconv.Itoa(r.config.HTTPSPort)),
		statuses: r.settings.healthStatus,
	}
	if r.config.Router != nil {
		for _, service := range r.app.Services {
			for _, note := range r.config.Router.Serve(service.Name, service.Labels) {
				r.log.rowf("%s", note)
			}
		}
		print := r.config.Router.Fingerprint()
		proof.leaf = &print
		return proof, nil
	}
	var err error
	if r.config.Certificate != "" {
		proof.leaf, err = loadFingerprint(r.config.Certificate)
	} else if r.config.CAFile != "" {
		proof.roots, err = loadRoots(r.config.CAFile)
	}
	return proof, err
}

// isInfraRoute tells whether an answer speaks of Traefik rather than the app.
func isInfraRoute(err error) bool {
	var unknown x509.UnknownAuthorityError
	var refused *net.OpError
	return errors.Is(err, errWrongCertificate) || errors.As(err, &unknown) ||
		(errors.As(err, &refused) && refused.Op == "dial")
}

// startSandbox makes the container for the steps.
func (r *run) startSandbox(ctx context.Context) error {
	spec := sandbox.Spec{
		Image:         r.image,
		Binary:        r.config.Binary,
		RunDir:        r.folder("run"),
		Act:           r.folder("act"),
		Workspace:     r.folder("workspace"),
		WorkspacePath: r.workspacePath(),
		Clone:         r.cloneFolder(),
		CAFile:        r.config.CAFile,
		Memory:        r.config.Memory,
		CPUs:          r.config.CPUs,
		Pids:          r.config.PIDs,
		ExtraHosts:    map[string]string{r.domain: "host-gateway"},
	}
	if r.config.Router != nil {
		if err := r.openRouter(&spec); err != nil {
			return asFault("sandbox", err)
		}
	}
	started, err := sandbox.Start(ctx, r.engine, r.owner, spec)
	if err != nil {
		return asFault("sandbox", r.sandboxFault(err)).because(ctx)
	}
	r.sandbox = started
	return nil
}

// openRouter lets the sandbox reach the in-process router: names below
// localhost are its own 127.0.0.1, where its first process forwards to a socket
// of ours.
func (r *run) openRouter(spec *sandbox.Spec) error {
	ca := r.folder("router-ca.pem")
	if err := os.WriteFile(ca, r.config.Router.CA(), 0o644); err != nil {
		return fmt.Errorf("writing the router's certificate for the sandbox: %w", err)
	}
	listener, err := r.config.Router.ListenUnix(r.folder("run/router.sock"))
	if err != nil {
		return err
	}
	r.closeRouter = listener.Close
	spec.CAFile = ca
	spec.Router = net.JoinHostPort("127.0.0.1", strconv.Itoa(r.config.Router.Port()))
	spec.ExtraHosts = map[string]string{r.domain: "127.0.0.1"}
	return nil
}

func (r *run) sandboxFault(err error) error {
	if missing, ok := errors.AsType[*sandbox.MissingImageError](err); ok {
		return r.pullFault(&swarm.ImageError{Image: missing.Image, Absent: true, Err: err})
	}
	return infraFault(err, "", "the container for the steps can't be started: %v", err)
}

// joinNetworks lets the steps reach the app's services by name. The proxy
// network, where other jobs live, is never joined.
func (r *run) joinNetworks(ctx context.Context) error {
	var names []string
	for _, network := range r.app.Networks {
		names = append(names, network.Name)
	}
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := r.sandbox.Connect(ctx, names...); err != nil {
		return asFault("sandbox", infraFault(err, "", "the steps can't join the app's networks: %v", err)).because(ctx)
	}
	return nil
}
