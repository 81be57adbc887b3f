// The control-plane benchmark's peer: an operator of controller-runtime that makes the same children.
//
//	control-plane-go --children FILE --metrics ADDRESS --health ADDRESS --workers 16    # KUBECONFIG says as whom
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const syncPatience = time.Second

var (
	serviceKind    = schema.GroupVersionKind{Group: "llmservice.io", Version: "v1alpha1", Kind: "LLMService"}
	rayServiceKind = schema.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayService"}
	otherKinds     = []schema.GroupVersionKind{
		{Version: "v1", Kind: "Service"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	}
)

func main() {
	file := flag.String("children", "", "JSON list of the children of one LLMService, with {name} and the like")
	metricsAddress := flag.String("metrics", "0", "where /metrics is served")
	healthAddress := flag.String("health", "0", "where /readyz is served: 200 once all is watched")
	workers := flag.Int("workers", 16, "LLMServices reconciled at once")
	flag.Parse()
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err := run(*file, *metricsAddress, *healthAddress, *workers); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(file, metricsAddress, healthAddress string, workers int) error {
	templates, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1 // the API server's own fairness alone holds it back, as it does our operator
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics:                metrics.Options{BindAddress: metricsAddress},
		HealthProbeBindAddress: healthAddress,
		Cache:                  cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Client:                 client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return err
	}
	if err := watch(manager, string(templates), workers); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("synced", synced(manager.GetCache())); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

// watch has every LLMService reconciled that changes, or one of whose children does; of most of those only metadata
// is kept, since nothing else of them is asked.
func watch(manager ctrl.Manager, templates string, workers int) error {
	build := ctrl.NewControllerManagedBy(manager).
		For(empty(serviceKind)).
		Owns(empty(rayServiceKind)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	for _, kind := range otherKinds {
		build = build.Owns(metadataOf(kind), builder.OnlyMetadata)
	}
	return build.Complete(&reconciler{manager.GetClient(), templates})
}

func synced(known cache.Cache) func(*http.Request) error {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), syncPatience)
		defer cancel()
		if !known.WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}

func empty(kind schema.GroupVersionKind) *unstructured.Unstructured {
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(kind)
	return found
}

func metadataOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(kind)
	return found
}
