package frameworks

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/acp-go/acp/middleware"
)

// Echo protects one route, and a group, through echo's own adapter.
func Echo(read, write Protector) http.Handler {
	e := echo.New()
	e.GET("/things/:id", func(c *echo.Context) error {
		user := middleware.AccessTokenFromContext(c.Request().Context())
		return c.String(http.StatusOK, "thing "+c.Param("id")+" of "+user.Subject)
	}, echo.WrapMiddleware(read))

	admin := e.Group("/admin", echo.WrapMiddleware(write))
	admin.POST("/things", func(c *echo.Context) error {
		return c.String(http.StatusOK, "a new thing of "+middleware.AccessTokenFromContext(c.Request().Context()).Subject)
	})
	return e
}
